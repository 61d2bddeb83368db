"""The HTTP interface: parse, call one function of the core, answer."""

"""Pure values and contracts; imports nothing but the standard library."""

"""Load tests: what simulated people say, how they ask, what is recorded, and the report."""

"""Programs beside the serving path: checks of a machine, and load tests."""

"""Whether this machine and its configuration can run the system, check by check."""

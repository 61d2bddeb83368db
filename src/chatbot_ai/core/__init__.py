"""Use cases; imports the domain only."""

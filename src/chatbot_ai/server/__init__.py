"""Processes: the composition root, the two services and their supervision."""

"""Keys, limits and the rules of who may call."""

"""Model files: which there are, where they come from, and how they reach the models folder."""

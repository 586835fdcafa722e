"""A run in its work directory: its verbs, its lock, where it came from."""

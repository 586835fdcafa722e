"""Searches over the keys of a page."""

"""Compiling a page's programs for accelerators that are not here: whether they fit, and what they move."""

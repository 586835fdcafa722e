"""Files of weights: read and written without the library that made them, and which naming of a network they are in."""

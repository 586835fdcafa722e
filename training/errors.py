"""The error of this room that a user can cause and mend."""


class TrainingError(ValueError):
    """One clear line: what is wrong, where, and the nearest valid choice."""

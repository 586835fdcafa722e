"""Metrics, a file for each field. `training.metrics.mean` is `training.metrics.sums.mean`.

`readings` is free of jax, so the sums are imported when one of them is first asked for.
"""

_SUMS = ("Metric", "mean", "valid")


def __getattr__(name: str):
    if name in _SUMS:
        from training.metrics import sums

        return getattr(sums, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

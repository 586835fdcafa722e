"""Whether a run was asked to stop, by SIGTERM or SIGINT, in any of its processes."""

import signal

import jax
import numpy as np
from jax.experimental import multihost_utils


class StopSignal:
    """True once SIGTERM or SIGINT has come (to any process); a second signal stops at once."""

    def __enter__(self):
        self._received = False
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)
            outer = getattr(handler, "__self__", None)
            if self._received and isinstance(outer, StopSignal):  # a run of several: it may have ended all the same
                outer._received = True

    def _handle(self, number, frame):
        if self._received:
            raise KeyboardInterrupt
        self._received = True

    def __call__(self, boundary: bool) -> bool:
        """Asked after each dispatch; several processes agree at log boundaries only, where all of them ask."""
        if jax.process_count() == 1:
            return self._received
        return boundary and bool(multihost_utils.process_allgather(np.array(self._received)).any())

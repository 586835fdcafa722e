"""CMA-ES for sweeps, with a state that is unpickled safely.

Optuna pickles the state of its CMA-ES in the study, and a study may be untrusted.
"""

import io
import pickle

import optuna

from experiments.errors import PageError

# All types of such a state.
_GLOBALS = {
    ("cmaes._cma", "CMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__randomstate_ctor"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _GLOBALS:
            raise PageError(f"the study holds no state of CMA-ES but {module}.{name}: it is not read")
        return super().find_class(module, name)


class CmaEsSampler(optuna.samplers.CmaEsSampler):
    def _restore_optimizer(self, completed_trials):
        for trial in reversed(completed_trials):
            parts = {key: x for key, x in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)}
            if parts:
                return _Unpickler(io.BytesIO(bytes.fromhex(self._concat_optimizer_attrs(parts)))).load()
        return None

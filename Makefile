# `make train` and `make test` do all their set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test lint ledger tensorflow rehearse clean

train: $(VENV)/ready
	$(BIN)/fovea train --config lenet5_digits --workdir workdir/lenet5_digits

# What the tests compile is kept here, apart from the user's runs. Every core has a worker; one that is done takes over
# tests from the others.
test: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
test: $(VENV)/extras
	$(BIN)/python -m pytest -n auto --dist worksteal --durations=25

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The tables of reproductions, here and in the README, from experiments/results/*.json.
ledger: $(VENV)/ready
	$(BIN)/fovea ledger render

$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

# What a cluster, a database or a tracker wants: the tests try them all.
$(VENV)/extras: $(VENV)/ready requirements-extras.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-extras.lock
	touch $@

# TensorFlow prepares the stock sets of TFDS and nothing else, so it has an environment of its own.
tensorflow: .venv-tensorflow/ready

.venv-tensorflow/ready: $(VENV)/ready requirements-tensorflow.lock
	$(PYTHON) -m venv .venv-tensorflow
	$(BIN)/uv pip install --quiet --python .venv-tensorflow/bin/python -r requirements-tensorflow.lock
	touch $@

# XLA's compilers for GPUs and TPUs that are not here, 1 GB: `fovea rehearse` shows them to a process of its own, so that
# jax does not look for such devices in any other.
rehearse: .venv-rehearse/ready

.venv-rehearse/ready: $(VENV)/ready requirements-rehearse.lock
	rm -rf .venv-rehearse
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --target .venv-rehearse -r requirements-rehearse.lock
	touch $@

clean:
	rm -rf $(VENV) .venv-tensorflow .venv-rehearse .cache workdir

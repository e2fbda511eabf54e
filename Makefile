# Every target sets up all that it needs: a virtual environment in .venv with the package in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test verify lint bench clean

demo: $(VENV)/installed
	$(BIN)/neurosim run lillicrap_2016.spiking

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

verify: $(VENV)/developer
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: $(VENV)/developer
	$(BIN)/python benchmarks/spiking_network.py
	$(BIN)/python benchmarks/rules.py
	$(BIN)/python benchmarks/sparse_input.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/replicas.py
	$(BIN)/python benchmarks/convolutions.py
	$(BIN)/python benchmarks/settling.py
	$(BIN)/python benchmarks/competing_units.py
	$(BIN)/python benchmarks/microcircuit.py
	$(BIN)/python benchmarks/microcircuit_dynamics.py
	$(BIN)/python benchmarks/target_propagation.py
	OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python benchmarks/sweeps.py

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "neurosim needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml
	@echo "Installing neurosim and its dependencies into $(VENV) ..."
	$(PIP) --editable .
	@touch $@

$(VENV)/developer: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

# `make screen` and `make test` each do all of their own set-up: Python 3.11 or newer, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
# napari needs a screen; where there is none, xvfb-run lends one.
SCREEN := $(if $(DISPLAY),,$(shell command -v xvfb-run >/dev/null && echo 'xvfb-run -a -s "-screen 0 1920x1200x24"'))

.PHONY: screen test lint lock samples model clean

screen: $(VENV)/.run
	$(BIN)/mipc screen sample_dicoms --out out

test: $(VENV)/.test
	bash tests/system-packages.sh
	bash tests/ohif.sh
	$(MAKE) --no-print-directory run-tests

# One process a core, each with a screen of its own (tests/conftest.py); the last to be busy takes from the other's tail.
run-tests:
	$(SCREEN) $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

samples: $(VENV)/.run  # the same bytes as in the repository
	$(BIN)/python -m imaging.phantom sample_dicoms

model: $(VENV)/.test  # needs the CC BY scans named in docs/model.md, and PyTorch; best with a graphics card
	$(PIP) "torch>=2.6"
	$(BIN)/python -m imaging.training ../shared/ct

lock: $(VENV)/.test  # choose new versions for everything, on purpose
	$(PIP) uv
	$(BIN)/uv pip compile --upgrade $(LOCK) --extra build pyproject.toml -o locks/run.txt
	$(BIN)/uv pip compile $(LOCK) $(EXTRAS) -c locks/run.txt pyproject.toml -o locks/test.txt
EXTRAS := --extra build --extra cluster --extra postgresql --extra train --extra viewer --extra test
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

# Debian ships python3 without ensurepip: there the environment is made by virtualenv, fetched beside it.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --target $(VENV)-tools \
	    --require-hashes -r locks/virtualenv.txt && \
	  PYTHONPATH=$(VENV)-tools $(PYTHON) -m virtualenv --quiet $(VENV) && rm -rf $(VENV)-tools; }

$(VENV)/.run: locks/run.txt pyproject.toml | $(BIN)/python
	@echo "Setting up Python packages in $(VENV): a few minutes, once."
	$(PIP) --require-hashes -r locks/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.test: locks/test.txt $(VENV)/.run
	$(PIP) --require-hashes -r locks/test.txt
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info

# `make screen` and `make test` each do all of their own set-up: Python 3.11+, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: screen test lint lock samples clean

screen: $(VENV)/.run
	$(BIN)/mipc screen sample_dicoms --out out

test: $(VENV)/.test
	bash tests/system-packages.sh
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

samples: $(VENV)/.run
	$(BIN)/python -m imaging.phantom sample_dicoms

lock:  # choose new versions for everything, on purpose
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --upgrade pyproject.toml -o locks/run.txt
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --upgrade --all-extras -c locks/run.txt pyproject.toml -o locks/test.txt

# Debian ships python3 without ensurepip, so the environment is made by virtualenv, fetched beside it.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --target .venv-tools -r locks/virtualenv.txt && \
	  PYTHONPATH=.venv-tools $(PYTHON) -m virtualenv --quiet $(VENV) && rm -rf .venv-tools; }

$(VENV)/.run: locks/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test: locks/test.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/test.txt
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info

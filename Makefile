# One command from a fresh clone: `make quickstart`. Needs python3 (3.11 to 3.13) with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-fast setup lint wheel-test

quickstart: setup
	$(BIN)/diffmem sweep experiment=quickstart

test: setup
	$(BIN)/python -m pytest -n auto --dist loadgroup

test-fast: setup
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

setup: $(VENV)/installed

wheel-test: setup
	PYTHON=$(abspath $(BIN))/python tests/wheel.sh

$(VENV)/installed: pyproject.toml requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	"diffmem needs Python 3.11 to 3.13, and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

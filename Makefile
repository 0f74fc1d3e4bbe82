# One command from a fresh clone: `make quickstart`. Needs python3 (3.11 to 3.13) with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadgroup --max-worker-restart 0

.PHONY: quickstart shell test test-fast test-long fuzz setup lint wheel-test docs gallery

quickstart: setup
	$(BIN)/diffmem sweep experiment=quickstart

# A shell in which `diffmem` and `python` are those of .venv; `exit` leaves it.
shell: setup
	@VIRTUAL_ENV=$(abspath $(VENV)) PATH=$(abspath $(BIN)):$$PATH $${SHELL:-/bin/sh}

test: setup
	$(PYTEST) -m "not long"

test-fast: setup
	$(PYTEST) -m "not slow"

# The tutorials as they stand, and what is tried many times: kills at random moments, intervals that cover
test-long: setup
	$(PYTEST) -m long

# Tries 2,000 bad inputs and counts how each ended; FUZZ=500 tries fewer.
FUZZ ?= 2000
fuzz: setup
	$(BIN)/python -m tests.helpers.fuzz $(FUZZ)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documentation in site/, strictly: a broken link or docstring fails. Asks no host.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Documentation: site/index.html; with search: python3 -m http.server -d site"

# docs/gallery.md anew from the tables of docs/data/study; KEEP="fig3=runs/study/fig3/reduced" keeps what a study wrote first
gallery: setup
	$(BIN)/python -m docs.make.gallery $(KEEP)

setup: $(VENV)/installed

wheel-test: setup
	PYTHON=$(abspath $(BIN))/python tests/wheel.sh

$(VENV)/installed: pyproject.toml requirements.lock requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	"diffmem needs Python 3.11 to 3.13, and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	# editable_mode=compat: the clone itself is on the path, so that Python started in the folder above it finds the package
	# and not the clone's own folder, which has its name
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		--config-settings editable_mode=compat --editable .
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed requirements-docs.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	@touch $@

# Everything a fresh machine needs beyond Python >= 3.11 and make is installed by these targets,
# into .venv and the user's cache folder.
.DEFAULT_GOAL := help
.PHONY: help setup lock generate check unit test clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := operator:tests

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

setup: $(VENV)/.installed ## the virtual environment, from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "setup: Python environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: ## pin every dependency with its hashes (no addresses)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra operator --extra cli --group dev pyproject.toml -o requirements.lock

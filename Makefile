# The one command before every commit: format, lint, types, tests. `make check PYTHON=python3` uses another interpreter.
PYTHON ?= .venv/bin/python

.PHONY: check lint fix
check: lint
	$(PYTHON) -m pytest -q -n auto --dist loadfile

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

fix:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

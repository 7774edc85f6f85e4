# Two commands set everything up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
WHEEL_ENV := .venv-wheel
FLOOR_ENV := .venv-floors

.DEFAULT_GOAL := help
.PHONY: help demo test check check-code words wheel floors format clean

help:
	@echo "make demo    install into .venv and train the demo population"
	@echo "make test    install into .venv and run every test, quick ones first"
	@echo "make check   formatting, lint, types, layers, doctests, snippets, the list of rooms, words"
	@echo "make words   what is left of odd words, missing documentation and overgrown code"
	@echo "make wheel   build the wheel and run the README's first example on it, alone"
	@echo "make floors  run the quick tests on the oldest dependencies we accept"
	@echo "make format  put the code in its format"

.venv/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

.venv/demo: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	@touch $@

.venv/dev: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	@touch $@ .venv/demo

demo: .venv/demo
	$(BIN)/ramet demo

test: .venv/dev
	$(BIN)/python -m pytest -m "not slow" -n auto
	$(BIN)/python -m pytest -m slow -n auto

# The words come last: what is above their limits hides no other failure.
check: check-code words

check-code: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules src/ramet tools/words
	$(BIN)/python -m tools.snippets README.md docs
	$(BIN)/python -m tools.rooms --check

words: .venv/dev
	$(BIN)/python -m tools.words

wheel: .venv/dev
	rm -rf dist $(WHEEL_ENV)
	$(BIN)/python -m build --quiet --wheel
	$(BIN)/python -m zipfile --list dist/*.whl | grep ramet/report/report.js > /dev/null
	$(PYTHON) -m venv $(WHEEL_ENV)
	$(WHEEL_ENV)/bin/python -m pip install --quiet dist/*.whl
	$(BIN)/python -m tools.snippets --print-first README.md | $(WHEEL_ENV)/bin/python -I -
	$(WHEEL_ENV)/bin/ramet --help > /dev/null

# Without frameworks, whose old releases are gigabytes.
floors: .venv/dev
	rm -rf $(FLOOR_ENV)
	$(PYTHON) -m venv $(FLOOR_ENV)
	$(BIN)/uv pip install --quiet --python $(FLOOR_ENV) --resolution lowest-direct --editable ".[plots]" --group test
	$(FLOOR_ENV)/bin/python -m pytest -q -m "not slow" -n auto --ignore tests/torch --ignore tests/jax --ignore tests/integrations --ignore tests/ray/test_ray.py --ignore tests/cli/test_demo.py

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(WHEEL_ENV) $(FLOOR_ENV) dist build

# Two commands set everything up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
WHEEL_ENV := .venv-wheel
FLOOR_ENV := .venv-floors

# Tests run as many processes as there are cores, and each may start more. If each of these had a
# thread for each core, most of the time would go to threads that wait for each other.
test check-docs floors: export OMP_NUM_THREADS = 1

# What uses a dependency, or imports all that does. Without frameworks, whose old releases are
# gigabytes, and without what is about runs and files whatever is installed.
FLOOR_TESTS := $(wildcard tests/test_*.py) tests/cli tests/cloud tests/evil tests/plots tests/report \
	tests/store/postgres tests/store/test_sqlite_store.py tests/store/test_summary.py \
	$(patsubst %,tests/engine/test_%.py,determinism fire fitting machine processes progress result)

.DEFAULT_GOAL := help
.PHONY: help demo compiled test check check-code check-form check-types check-docs words wheel floors format clean

help:
	@echo "make demo    install into .venv and train the demo population"
	@echo "make test    install into .venv and run every test, quick ones first"
	@echo "make check   formatting, lint, types, layers, doctests, snippets, the list of rooms, words"
	@echo "make words   what is left of odd words, missing documentation and overgrown code"
	@echo "make wheel   build the wheel and run the README's first example on it, alone"
	@echo "make floors  run quick tests of what uses dependencies on the oldest we accept"
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

# gymnax names an upper limit of gymnasium that it does not need, so its packages are named here.
.venv/experiments: .venv/dev
	$(BIN)/python -m pip install --quiet --no-deps "gymnax==1.0.1" "seaborn>=0.13" six
	$(BIN)/python -m pip install --quiet "optuna>=4.0" "sacrebleu>=2.4"
	@touch $@

demo: .venv/demo
	$(BIN)/ramet demo

# Hundreds of processes import this, and PYTHONDONTWRITEBYTECODE, which many images of containers set,
# would have each of them compile it anew.
compiled: .venv/dev
	$(BIN)/python -m compileall -q src tests benchmarks tools

test: compiled
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

# The words come last: what is above their limits hides no other failure.
check: check-code words

# The parts may run at once: make -j2.
check-code: check-form check-types check-docs

check-form: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tools.rooms --check

check-types: .venv/dev
	$(BIN)/mypy
	$(BIN)/pyright

check-docs: compiled
	$(BIN)/python -m pytest -q --doctest-modules src/ramet tools/words
	$(BIN)/python -m tools.snippets README.md docs

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

floors: compiled
	rm -rf $(FLOOR_ENV)
	$(PYTHON) -m venv $(FLOOR_ENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(FLOOR_ENV) --resolution lowest-direct --editable ".[plots]" --group test
	$(FLOOR_ENV)/bin/python -m pytest -q -m "not slow" -n auto --dist worksteal $(FLOOR_TESTS) --ignore tests/cli/test_demo.py

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(WHEEL_ENV) $(FLOOR_ENV) dist build

# Two commands set everything up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
WHEEL_ENV := .venv-wheel
FLOOR_ENV := .venv-floors
RELEASE_ENV := .venv-release

# Tests run as many processes as there are cores, and each may start more. If each of these had a
# thread for each core, most of the time would go to threads that wait for each other.
test quick check-docs floors: export OMP_NUM_THREADS = 1

# What uses a dependency, or imports all that does. Without frameworks, whose old releases are
# gigabytes, and without what is about runs and files whatever is installed.
FLOOR_TESTS := $(wildcard tests/test_*.py) tests/cli tests/cloud tests/evil tests/plots tests/report \
	tests/store/postgres tests/store/test_sqlite_store.py tests/store/test_summary.py \
	$(patsubst %,tests/engine/test_%.py,determinism fire fitting machine processes progress result) \
	--ignore tests/cli/test_demo.py

.DEFAULT_GOAL := help
.PHONY: help demo compiled test quick check check-code check-form check-types check-docs docs words wheel release lock floors
.PHONY: format clean

help:
	@echo "make demo    install into .venv and train the demo population"
	@echo "make test    install into .venv and run every test, quick ones first"
	@echo "make check   formatting, lint, types, layers, doctests, snippets, the list of rooms, words"
	@echo "make docs    build these pages as a site, in build/site, and check every link"
	@echo "make words   what is left of odd words, missing documentation and overgrown code"
	@echo "make wheel   build the wheel and run the quickstart's first example on it, alone"
	@echo "make quick   install into .venv and run the quick tests, without frameworks"
	@echo "make release build both archives, check them, and try each in an empty environment"
	@echo "make lock    write the versions that are installed into .ci/constraints.txt"
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
	$(BIN)/python -m pip install --quiet "optuna>=4.0" "psutil>=5.9" "ray[tune]>=2.52" "sacrebleu>=2.4"
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

# For machines where the frameworks and the servers of the other tests are missing.
.venv/quick: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[plots]" --group test
	@touch $@

quick: .venv/quick
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist worksteal $(FLOOR_TESTS)

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

# The theme's variable silences what it says of its future, which is no warning about these pages.
docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

words: .venv/dev
	$(BIN)/python -m tools.words

wheel: .venv/dev
	rm -rf dist $(WHEEL_ENV)
	$(BIN)/python -m build --quiet --wheel
	$(BIN)/python -m zipfile --list dist/*.whl | grep ramet/report/report.js > /dev/null
	$(PYTHON) -m venv $(WHEEL_ENV)
	$(WHEEL_ENV)/bin/python -m pip install --quiet dist/*.whl
	$(BIN)/python -m tools.snippets --print-first docs/quickstart.md | $(WHEEL_ENV)/bin/python -I -
	$(WHEEL_ENV)/bin/ramet --help > /dev/null

release: .venv/dev
	$(BIN)/python -m tools.release
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tools.release --dist dist
	version=$$($(BIN)/python -c "from pathlib import Path; from tools.release import read_version; print(read_version(Path()))"); \
	for archive in dist/*; do \
		rm -rf $(RELEASE_ENV) && $(PYTHON) -m venv $(RELEASE_ENV) \
		&& $(RELEASE_ENV)/bin/python -m pip install --quiet $$archive \
		&& $(RELEASE_ENV)/bin/python tools/smoke.py $$version || exit 1; \
	done
	@echo "dist/ has what can be published: twine upload dist/*"

# Versions alone, without the address of any index, and without what only says how a wheel was built.
lock: .venv/dev
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed 's/+[A-Za-z0-9.]*$$//' > .ci/constraints.txt

floors: compiled
	rm -rf $(FLOOR_ENV)
	$(PYTHON) -m venv $(FLOOR_ENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(FLOOR_ENV) --resolution lowest-direct --editable ".[plots]" --group test
	$(FLOOR_ENV)/bin/python -m pytest -q -m "not slow" -n auto --dist worksteal $(FLOOR_TESTS)

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(WHEEL_ENV) $(FLOOR_ENV) $(RELEASE_ENV) dist build

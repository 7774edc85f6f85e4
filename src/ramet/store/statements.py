"""Reads the SQL of stores from their folders ``sql/``."""

import functools
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.resources import files

# The package with the SQL of the SQLite store.
SQLITE = "ramet.store"


@functools.cache
def queries(package: str = SQLITE) -> Mapping[str, str]:
    """Return each query of a package by its name."""
    folder = files(package) / "sql"
    scripts = [script for script in folder.iterdir() if script.name.endswith(".sql")]
    text = "\n".join(script.read_text("utf-8") for script in scripts)
    _, *named = text.split("-- name: ")
    return dict(_split_name(text) for text in named)


@functools.cache
def migrations(package: str = SQLITE) -> tuple[str, ...]:
    """Return the migrations in order: one script for each version of the schema."""
    folder = files(package) / "sql/schema"
    scripts = sorted(folder.iterdir(), key=lambda script: script.name)
    return tuple(script.read_text("utf-8") for script in scripts)


def statements(script: str) -> Iterator[str]:
    r"""Split a script into statements; ``executescript`` would commit an open transaction.

    >>> list(statements("SELECT 1;\nSELECT\n2;\n"))
    ['SELECT 1;\n', 'SELECT\n2;\n']
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _split_name(text: str) -> tuple[str, str]:
    name, _, query = text.split("\n", 2)
    return name, query.strip()

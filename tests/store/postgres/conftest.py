"""A server for the tests of this folder, and a schema of its own for each test."""

import itertools
from collections.abc import Iterator

import pytest

from tests.postgres import Postgres, server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a server, which tests of this process share."""
    with server() as made:
        yield made


@pytest.fixture
def url(postgres: Postgres) -> str:
    """Return the URL of a store that does not exist yet."""
    return f"{postgres.url}?schema=test_{next(_numbers)}"

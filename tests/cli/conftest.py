"""Stores that the tests of the command line look at."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramet
from tests.cli import quick


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a command put on Python's path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that is done, for commands that change nothing."""
    store = tmp_path_factory.mktemp("done") / "runs.db"
    begin(store, "quick")
    return store


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A store with two runs."""
    store = tmp_path / "runs.db"
    begin(store, "one")
    begin(store, "other")
    return store


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[ramet.Run]:
    """A run in tmp_path / "runs.db" of which a turn is being trained."""
    run = ramet.open(
        tmp_path / "runs.db",
        name="quick",
        space=quick.space,
        strategy=quick.strategy,
        steps=quick.steps,
        mode="max",
        seed=0,
        worker="a-machine-with-a-very-long-name-4711-0.1",
    )
    assert run.ask() is not None
    yield run
    run.release_all()


def begin(store: Path, name: str) -> ramet.Result:
    """Train a run to its end."""
    return ramet.run(
        quick.train,
        quick.space,
        quick.strategy,
        steps=quick.steps,
        mode="max",
        name=name,
        store=ramet.Storage(store, durability="process"),
        seed=0,
    )

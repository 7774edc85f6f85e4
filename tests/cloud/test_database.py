"""A record in PostgreSQL and checkpoints in object storage: what workers on many machines share."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")
pytest.importorskip("psycopg", reason="needs psycopg: pip install 'ramet[postgres]'")

import ramet
from benchmarks.victims import children
from ramet import history
from ramet.blobs import ObjectBlobs
from ramet.errors import RunNotFound, StoreError
from ramet.events import TurnEnded, canonical
from ramet.history.doctor import examine
from ramet.places import existing
from tests.cloud.servers import Server
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import finished, started, wait_for
from tests.postgres import server


@pytest.fixture(scope="module")
def databases() -> Iterator[str]:
    with server() as made:
        yield made.url


def train(store: object, **more: object) -> ramet.Result:
    settings = {"steps": 24, "seed": 3, "name": "lm", **more}
    return ramet.run(Descent(), SPACE, pbt(synchronous=True), mode="max", store=store, **settings)


@pytest.mark.slow
def test_both_hold_the_run_that_files_hold_and_know_each_other(
    s3: Server, url: str, databases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = (f"{databases}?schema={name}" for name in ("first", "second"))
    there, here = train(ramet.Storage(first, blobs=url)), train(tmp_path / "runs.db")

    assert canonical(there.events) == canonical(here.events)
    # The database remembers the URL.
    assert isinstance(history.load(first).blobs, ObjectBlobs)
    assert (history.load(first).best.load()["w"] == here.best.load()["w"]).all()
    with pytest.raises(StoreError, match="has checkpoints of another run"):
        train(ramet.Storage(second, blobs=url))


STORM = """
import sys, time
import ramet
from tests.engine.loops import SPACE, Descent, pbt

class Slow(Descent):
    def step(self, *args):
        time.sleep(0.02)
        return super().step(*args)

if __name__ == "__main__":
    ramet.run(Slow(), SPACE, pbt(synchronous=True), steps=48, seed=3, mode="max", name="lm",
              store=ramet.Storage(sys.argv[1], blobs=sys.argv[2]), workers=2)
"""
STORMS = 3


@pytest.mark.slow
def test_a_run_that_all_its_processes_are_told_to_end_ends_as_if_they_had_not_been(
    s3: Server, url: str, databases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store, script = f"{databases}?schema=storms", tmp_path / "storm.py"
    script.write_text(STORM)
    process, turns = started(script, store, url), 0
    for _ in range(STORMS):
        # Each start gets further, so all of them are told in the middle of turns.
        wait_for(lambda: turns_in(store) > turns)  # noqa: B023 - called at once
        for pid in [*children(process.pid), process.pid] * 2:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert finished(process)[0] == -signal.SIGTERM
        turns = turns_in(store)
        assert turns < 6 * 12
        process = started(script, store, url)
    code, _, err = finished(process)
    assert code == 0, err
    result, here = history.load(store), train(tmp_path / "runs.db", steps=48)
    assert canonical(result.events) == canonical(here.events)
    where = existing(store)
    assert list(examine(where.store, where.blobs, "lm")) == []


def turns_in(store: str) -> int:
    """Return how many turns have ended."""
    with suppress(StoreError, RunNotFound):
        log = history.load(store).log
        return sum(isinstance(logged.event, TurnEnded) for logged in log)
    return 0

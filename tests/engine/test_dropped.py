"""A run that is dropped in the midst of a turn, in a process that lives on."""

import gc
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StoreFull
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import wait_for
from tests.engine.test_heartbeat import beating

TRAINED: dict[str, Any] = {
    "space": SPACE,
    "strategy": pbt(population=1, exploit=None),
    "steps": 8,
    "mode": "max",
    "seed": 0,
}
ALONE = TRAINED | {"failures": ramet.Failures(lease_ttl_s=0.2)}
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists descriptors")
# Until a test gives up on what it waits for.
PATIENCE_S = 60.0


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def asked_within_patience(run: ramet.Run) -> list[ramet.Turn | None]:
    found: list[ramet.Turn | None] = []
    waiting = threading.Thread(target=lambda: found.append(run.ask()), daemon=True)
    waiting.start()
    waiting.join(PATIENCE_S)
    return found


def test_turns_that_were_dropped_without_tell_are_not_kept_in_memory(tmp_path: Path) -> None:
    dropped = ramet.open(tmp_path / "runs.db", **ALONE)
    assert dropped.ask() is not None
    del dropped
    gc.collect()
    (turn,) = asked_within_patience(ramet.open(tmp_path / "runs.db", **ALONE))
    assert turn is not None


@linux
def test_a_run_that_is_dropped_leaves_no_thread_and_no_file_open(tmp_path: Path) -> None:
    before = beating(), descriptors()
    # Its heart would beat, and see that it is alone, once in 20 seconds.
    dropped = ramet.open(tmp_path / "runs.db", **ALONE | {"failures": ramet.Failures()})
    turn = dropped.ask()
    assert beating() > before[0]
    del dropped, turn
    gc.collect()
    wait_for(lambda: beating() <= before[0])
    assert descriptors() <= before[1]


@linux
def test_results_that_are_held_hold_no_file_open(tmp_path: Path) -> None:
    ramet.run(Descent(), **TRAINED, store=tmp_path / "runs.db")
    before = descriptors()
    held = [ramet.history.load(tmp_path / "runs.db") for _ in range(20)]
    assert descriptors() <= before
    # They can still be asked for what is in the file.
    assert held[-1].store.runs() == ["run"]


def test_a_failure_that_cannot_be_written_gives_its_turn_back() -> None:
    class Full(MemoryStore):
        def commit(self, *args: Any, **kwargs: Any) -> int:
            raise StoreFull("no room")

    class Fails(Descent):
        def evaluate(self, state: Any) -> float:
            raise ZeroDivisionError

    store, blobs = Full(), MemoryBlobs()
    with pytest.raises(StoreFull):
        ramet.run(Fails(), **TRAINED, store=ramet.Storage(store, blobs=blobs))
    assert [seat.worker for seat in store.seats("run")] == [None]

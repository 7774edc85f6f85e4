"""A run that is dropped in the midst of a turn, in a process that lives on."""

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import StoreFull
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt

ALONE: dict[str, Any] = {
    "space": SPACE,
    "strategy": pbt(population=1, exploit=None),
    "steps": 8,
    "mode": "max",
    "seed": 0,
    "lease_ttl_s": 0.2,
}
# Until a test gives up on what it waits for.
PATIENCE_S = 60.0


def asked_within_patience(run: ramet.Run) -> list[ramet.Turn | None]:
    found: list[ramet.Turn | None] = []
    waiting = threading.Thread(target=lambda: found.append(run.ask()), daemon=True)
    waiting.start()
    waiting.join(PATIENCE_S)
    return found


def test_nothing_holds_on_to_turns_that_nobody_can_tell(tmp_path: Path) -> None:
    dropped = ramet.open(tmp_path / "runs.db", **ALONE)
    assert dropped.ask() is not None
    del dropped
    gc.collect()
    (turn,) = asked_within_patience(ramet.open(tmp_path / "runs.db", **ALONE))
    assert turn is not None


def test_a_failure_that_cannot_be_written_gives_its_turn_back() -> None:
    class Full(MemoryStore):
        def commit(self, *args: Any, **kwargs: Any) -> int:
            raise StoreFull("no room")

    class Fails(Descent):
        def evaluate(self, state: Any) -> float:
            raise ZeroDivisionError

    store, blobs = Full(), MemoryBlobs()
    with pytest.raises(StoreFull):
        ramet.run(Fails(), **ALONE, store=store, blobs=blobs)
    assert [seat.worker for seat in store.seats("run")] == [None]

"""What is raised in a worker process, or handing training to one."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import MissingScore, NotPortable, RunFailed, StateError, StoreError, StrategyError
from ramet.events import AttemptFailed, TurnLost
from ramet.store import MemoryStore, SQLiteStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import result_in, seats_in

STRATEGY = pbt(population=5, synchronous=True)


def no_score(session: ramet.Session) -> None:
    for turn in session.turns({"w": 0.0}):
        list(turn)


def no_state(session: ramet.Session) -> None:
    for turn in session.turns(None):
        turn.report(0.0)


def never_works(session: ramet.Session) -> None:
    raise NameError("name 'optimiser' is not defined")


def half_a_character(session: ramet.Session) -> None:
    raise RuntimeError("\ud800") from None


def leaves(session: ramet.Session) -> None:
    raise SystemExit(4)


class Breaks:
    def check(self, population: int) -> None: ...

    def pairs(self, *args: object) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("train", "strategy", "error", "says", "where"),
    [
        (no_score, STRATEGY, MissingScore, "must end with a score", "in points"),
        (no_state, STRATEGY, StateError, r"capture\(\) and restore", "in no_state"),
        (Descent(), pbt(exploit=Breaks()), StrategyError, "PBT raised", "in pairs"),
        (never_works, STRATEGY, RunFailed, "before 3 attempts fail.*'optimiser'", "in never_works"),
        (half_a_character, STRATEGY, RunFailed, "before 3 attempts fail", "in half_a_character"),
        (leaves, STRATEGY, RunFailed, "ended with SystemExit: 4", "in leaves"),
    ],
    ids=["score", "state", "strategy", "name", "character", "exit"],
)
def test_an_error_arrives_as_what_it_was_with_the_workers_traceback(
    train: Any, strategy: Any, error: type[Exception], *, says: str, where: str, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    with pytest.raises(error, match=says) as caught:
        ramet.run(train, SPACE, strategy, steps=8, mode="max", seed=0, store=store, workers=1)
    assert type(caught.value) is error
    assert where in str(caught.value.__cause__)
    assert {seat.worker for seat in seats_in(store)} == {None}


class Breaking(Descent):
    """Raises in every attempt of one turn, or once in it."""

    def __init__(self, times: int) -> None:
        self.left = times

    def loop(self, session: ramet.Session) -> None:
        state = self.init(session.rng)
        for turn in session.turns(state):
            if (turn.member, turn.number) == (2, 1) and self.left:
                self.left -= 1
                raise ZeroDivisionError("the loss exploded")
            state.update(self.step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(self.evaluate(state))


@pytest.mark.parametrize("times", [1, 2])
def test_a_member_that_raises_is_tried_again_and_given_up_as_in_one_process(times: int) -> None:
    alone = ramet.run(Breaking(times).loop, SPACE, STRATEGY, steps=16, mode="max", seed=0)
    result = ramet.run(
        Breaking(times).loop, SPACE, STRATEGY, steps=16, mode="max", seed=0, workers=1
    )
    failed = [event for event in result.events if isinstance(event, AttemptFailed)]
    assert [event.error for event in failed] == ["ZeroDivisionError: the loss exploded"] * times
    assert "in loop" in failed[0].traceback
    lost = [event.why for event in result.events if isinstance(event, TurnLost)]
    assert lost == ["failed"] * (times - 1)
    assert result.population == alone.population


def test_what_cannot_be_sent_to_workers_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    lock = threading.Lock()

    def train(session: ramet.Session) -> None:
        with lock:
            raise AssertionError

    store = tmp_path / "runs.db"
    with pytest.raises(NotPortable, match=r"cannot pickle '_thread.lock'.*workers=0"):
        ramet.run(train, SPACE, STRATEGY, steps=8, mode="max", store=store, workers=2)
    assert SQLiteStore(store).runs() == []


def test_a_share_that_there_is_not_is_said_before_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    store = tmp_path / "runs.db"
    with pytest.raises(StrategyError, match="0 GPUs"):
        ramet.run(
            Descent(),
            SPACE,
            STRATEGY,
            steps=8,
            mode="max",
            store=store,
            engine=ramet.Processes(2, gpus=1),
        )
    assert SQLiteStore(store).runs() == []


@pytest.mark.parametrize("where", ["store", "blobs", "both", "neither"])
def test_what_lives_in_one_process_is_refused_by_several(where: str, tmp_path: Path) -> None:
    place: dict[str, Any] = {
        "store": {
            "store": ramet.Storage(MemoryStore(), blobs=ramet.blobs.DirectoryBlobs(tmp_path))
        },
        "blobs": {"store": ramet.Storage(tmp_path / "runs.db", blobs=MemoryBlobs())},
        "both": {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())},
        "neither": {"store": ramet.Storage(blobs=MemoryBlobs())},
    }[where]
    with pytest.raises(StoreError, match="must share their store and blobs"):
        ramet.run(Descent(), SPACE, STRATEGY, steps=8, mode="max", workers=1, **place)


def test_a_run_of_several_workers_stops_at_once_when_one_raises(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"

    class Strict(Descent):
        def evaluate(self, state: dict[str, Any]) -> Any:
            return "good" if state["seen"] == 8 else super().evaluate(state)

    with pytest.raises(
        ramet.errors.ScoreError, match="must be one number, but got the text 'good'"
    ):
        ramet.run(Strict(), SPACE, STRATEGY, steps=400, mode="max", seed=0, store=store, workers=2)
    result = result_in(store)
    assert 5 <= result.population.turns < 10
    assert {seat.worker for seat in seats_in(store)} == {None}
    assert np.isfinite(result.best.score)

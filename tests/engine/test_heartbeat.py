"""Turns that outlast their lease, of processes that live and of some that do not."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import ramet
from benchmarks.victims import children
from ramet.blobs import DirectoryBlobs
from ramet.engine.run.leases import Heartbeat
from ramet.errors import LeaseLost
from ramet.store import SQLiteStore
from tests import signals
from tests.engine.loops import SPACE, pbt
from tests.engine.scripts import finished, seats_in, started, wait_for

TTL_S = 0.3


class Beats:
    """Takes the beats of a heart, and says how many more there shall be."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.taken = list(answers), threading.Semaphore(0)

    def __call__(self) -> bool:
        answer = self.answers.pop(0) if self.answers else "over"
        self.taken.release()
        if isinstance(answer, Exception):
            raise answer
        return (answer() if callable(answer) else answer) != "over"


def beating() -> set[threading.Thread]:
    """Return the threads that hearts beat in, those of other tests among them."""
    return {one for one in threading.enumerate() if one.name == "ramet-beat"}


def test_a_heart_beats_until_there_is_nothing_to_beat_for() -> None:
    before = beating()
    beats = Beats("on", "on", "over")
    heart = Heartbeat(beats, every_s=0.001)
    heart.start()
    heart.start()
    for _ in range(3):
        assert beats.taken.acquire(timeout=60.0)
    wait_for(lambda: beating() <= before)
    assert not beats.taken.acquire(blocking=False)
    heart.start()
    assert beats.taken.acquire(timeout=60.0)


def test_a_heart_beats_on_whatever_a_store_raises() -> None:
    beats = Beats(OSError("the network is down"), LeaseLost("gone"), "on", "over")
    Heartbeat(beats, every_s=0.001).start()
    for _ in range(4):
        assert beats.taken.acquire(timeout=60.0)


def test_what_begins_during_the_last_beat_is_beaten_for() -> None:
    hearts: list[Heartbeat] = []

    def begins() -> str:
        # It has looked already, and seen nothing.
        hearts[0].start()
        return "over"

    beats = Beats(begins, "on", "over")
    hearts.append(Heartbeat(beats, every_s=0.001))
    hearts[0].start()
    for _ in range(3):
        assert beats.taken.acquire(timeout=60.0)


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    return {
        "store": ramet.Storage(
            SQLiteStore(tmp_path / "runs.db"), blobs=DirectoryBlobs(tmp_path / "blobs")
        ),
        "space": SPACE,
        "strategy": pbt(population=5),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }


def test_a_turn_that_outlasts_its_lease_is_held_on_to(place: dict[str, Any]) -> None:
    store, before = place["store"].store, beating()
    run = ramet.open(**place, failures=ramet.Failures(lease_ttl_s=TTL_S))
    turn = run.ask()
    assert turn is not None
    first = turn.lease.expires_at
    # By then it would have run out twice.
    wait_for(lambda: turn.lease.expires_at > first + 2 * TTL_S)
    assert store.seize("run", 0, turn=1, worker="other", ttl_s=1.0) is None
    free = store.claim("run", worker="other", ttl_s=1.0)
    assert free is not None
    assert free.member == 1
    list(turn)
    run.tell(turn, 0.5, state={"w": 1.0})
    # Nothing is out any more, and nothing is held.
    wait_for(lambda: beating() <= before)
    assert next(seat.worker for seat in store.seats("run")) is None


SCRIPT = """\
import time
from pathlib import Path
import ramet
from tests.engine.loops import SPACE, Descent, pbt

def train(session):
    task, state = Descent(), Descent().init(session.rng)
    for turn in session.turns(state):
        while turn.member == 0 and turn.number == 1 and Path("wait").exists():
            Path("waiting").touch()
            time.sleep(0.01)
        state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
        turn.report(task.evaluate(state))

ramet.run(train, SPACE, pbt(population=5), steps=16, mode="max", seed=0, store="runs.db",
          engine=ramet.Processes(2, failures=ramet.Failures(lease_ttl_s=0.3)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", signals.named("SIGSTOP", "SIGKILL"))
def test_a_member_is_taken_over_from_a_process_that_is_silent(
    how: signal.Signals, tmp_path: Path
) -> None:
    script, store = tmp_path / "train.py", tmp_path / "runs.db"
    script.write_text(SCRIPT)
    (tmp_path / "wait").touch()
    process = started(script)
    wait_for((tmp_path / "waiting").exists)
    holder = wait_for(lambda: seats_in(store)[0].worker)
    # The others' turns are over, and the one that waits has its lease as long as it lives.
    wait_for(lambda: all(seat.standing.turn == 4 for seat in seats_in(store)[1:]))
    assert seats_in(store)[0].worker == holder
    place = int(holder.rpartition("-")[2].partition(".")[0])
    worker = sorted(children(process.pid))[place]
    os.kill(worker, how)
    (tmp_path / "wait").unlink()
    wait_for(lambda: seats_in(store)[0].standing.turn == 4)
    if how == signal.SIGSTOP:
        os.kill(worker, signal.SIGCONT)
    code, _, err = finished(process)
    assert code == 0, err
    assert ("no longer holds member 0" in err) == (how == signal.SIGSTOP)

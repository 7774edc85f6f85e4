"""What is made of workers that died, as their parent sees them; and of stragglers among them."""

import logging
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.engine.processes.reports import Report
from ramet.engine.processes.watchman import DEATHS_IN_A_ROW, FATAL_DEATHS, Ended, Watchman
from ramet.errors import MissingScore, RunFailed, StoreBusy
from ramet.events import TurnLost
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import finished, result_in, seats_in, started

KILLED = "was killed by SIGKILL"


class Scene:
    """A run, its watchman, and workers that die when they are told."""

    def __init__(self, *, workers: int = 1, **settings: Any) -> None:
        self._place: dict[str, Any] = {
            "store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs()),
            "space": SPACE,
            "strategy": pbt(population=5, synchronous=True),
            "steps": 8,
            "mode": "max",
            "seed": 0,
            **settings,
        }
        self.parent = ramet.open(**self._place, worker="parent")
        self.watchman = Watchman(self.parent, workers=workers)

    def hire(self, name: str) -> ramet.Run:
        return ramet.open(**self._place, worker=name)

    def train(self, turns: int) -> None:
        run = self.hire("well")
        for _ in range(turns):
            turn = run.ask()
            assert turn is not None
            state = Descent().step(turn.load(Descent().init), turn.hparams, turn.steps, turn.rng)
            run.tell(turn, Descent().evaluate(state), state=state)

    def dies(self, *, holding: bool = True, machine: bool = False) -> None:
        if holding:
            assert self.hire("ill").ask() is not None
        self.watchman.see_to(Ended(place=0, worker="ill", how=KILLED, machine=machine))

    @property
    def lost(self) -> list[tuple[int, int]]:
        events = self.parent.result().events
        return [(one.member, one.turn) for one in events if isinstance(one, TurnLost)]


def test_machines_that_are_lost_say_nothing_about_turns_or_code() -> None:
    scene = Scene()
    for _ in range(2 * max(FATAL_DEATHS, DEATHS_IN_A_ROW)):
        scene.dies(machine=True)
    assert scene.lost == []
    assert scene.hire("next").ask() is not None


def test_the_member_of_a_dead_worker_is_free_at_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    with caplog.at_level(logging.WARNING, "ramet"):
        scene.dies()
    assert "worker ill was killed by SIGKILL; another takes its place" in caplog.text
    free = scene.hire("next").ask()
    assert free is not None
    assert free.member == 0


def test_a_turn_is_given_up_when_it_has_killed_often_enough() -> None:
    scene = Scene()
    scene.train(2)
    for _ in range(FATAL_DEATHS - 1):
        scene.dies()
    assert scene.lost == []
    scene.dies()
    assert scene.lost == [(2, 0)]
    assert scene.parent.population[2].turn == 1


def test_deaths_in_one_turn_say_nothing_of_the_next() -> None:
    scene = Scene()
    scene.train(4)
    for _ in range(FATAL_DEATHS - 1):
        scene.dies()
    scene.train(5)
    for _ in range(FATAL_DEATHS - 1):
        scene.dies()
    assert scene.lost == []


def test_deaths_without_the_end_of_any_turn_stop_the_run() -> None:
    scene = Scene()
    scene.train(1)
    for _ in range(DEATHS_IN_A_ROW - 1):
        scene.dies(holding=False)
    scene.train(1)
    for _ in range(DEATHS_IN_A_ROW - 1):
        scene.dies(holding=False)
    with pytest.raises(RunFailed, match=r"6 in a row did not; the last was killed by SIGKILL"):
        scene.dies(holding=False)


def test_one_blow_to_many_workers_is_borne() -> None:
    scene = Scene(workers=16)
    for _ in range(16):
        scene.dies(holding=False)
    scene.train(1)
    assert scene.lost == []


def test_more_members_that_kill_than_may_fail_stop_the_run() -> None:
    scene = Scene(failures=ramet.Failures(tolerate=0.2))
    scene.train(2)
    for _ in range(2 * FATAL_DEATHS - 1):
        scene.dies()
    with pytest.raises(RunFailed, match=r"20%.* 2 of 5 .*SIGKILL in turn 0 of member 3"):
        scene.dies()


def test_what_a_worker_reported_is_raised_with_its_traceback() -> None:
    scene = Scene()
    told = Report(kind="MissingScore", message="no score", traceback="in train")
    with pytest.raises(MissingScore, match="no score") as caught:
        scene.watchman.see_to(Ended(place=0, worker="ill", how="ended", report=told))
    assert "in train" in str(caught.value.__cause__)


def test_what_is_no_error_of_ours_is_named() -> None:
    told = Report(kind="annotations", message="what?", traceback="in train")
    with pytest.raises(RunFailed, match=r"ended with annotations: what\?"):
        Scene().watchman.see_to(Ended(place=0, worker="ill", how="ended", report=told))


STRAGGLES = """\
import time
from pathlib import Path
import ramet
from tests.engine.loops import SPACE, Descent, pbt

def train(session):
    task, state = Descent(), Descent().init(session.rng)
    for turn in session.turns(state):
        while (turn.member, turn.number) == (2, 1):
            time.sleep(0.1)
        state.update(task.step(state, turn.hparams, turn.steps, turn.rng))
        turn.report(task.evaluate(state))

ramet.run(train, SPACE, pbt(population=5, synchronous=True), steps=16, mode="max", seed=0,
          store="runs.db",
          engine=ramet.Processes(2, failures=ramet.Failures(straggler_timeout_s=0.5)))
"""


@pytest.mark.slow
def test_a_run_ends_without_a_worker_that_never_comes_back(tmp_path: Path) -> None:
    script, store = tmp_path / "train.py", tmp_path / "runs.db"
    script.write_text(STRAGGLES)
    code, _, err = finished(started(script))
    assert code == 0, err
    result = result_in(store)
    assert result.population.done
    lost = [(one.member, one.turn, one.why) for one in result.events if isinstance(one, TurnLost)]
    assert lost == [(2, 1, "straggler")]
    assert {seat.worker for seat in seats_in(store)} == {None}


class Locked:
    """A memory store that is locked the first times that somebody is disowned."""

    def __init__(self, times: int) -> None:
        self._store, self.times = MemoryStore(), times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def disown(self, run: str, *, worker: str) -> list[int]:
        self.times -= 1
        if self.times >= 0:
            raise StoreBusy("another process keeps it locked")
        return self._store.disown(run, worker=worker)


def test_the_members_of_a_dead_worker_are_free_once_the_store_is_unlocked() -> None:
    scene = Scene(store=ramet.Storage(Locked(times=3), blobs=MemoryBlobs()))
    scene.dies()
    free = scene.hire("next").ask()
    assert free is not None
    assert free.member == 0


def test_an_error_is_raised_at_once_even_if_the_store_is_locked() -> None:
    scene = Scene(store=ramet.Storage(Locked(times=1), blobs=MemoryBlobs()))
    report = Report(kind="MissingScore", message="turn 0 has none", traceback="")
    with pytest.raises(MissingScore, match="turn 0 has none"):
        scene.watchman.see_to(Ended(place=0, worker="ill", how="ended", report=report))

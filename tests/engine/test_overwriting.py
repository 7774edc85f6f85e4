"""A run of an old name can be replaced, and nothing else is lost by it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import DirectoryBlobs, MemoryBlobs
from ramet.cli.view import View
from ramet.engine.run.overwriting import DELETING_S
from ramet.errors import RunInUse, RunMismatch, RunNotFound, SpaceError
from ramet.events import RunOpened
from ramet.history.doctor import examine
from ramet.store import Lease, MemoryStore, SQLiteStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in, result_in


def settings(**changes: Any) -> dict[str, Any]:
    same = {"space": SPACE, "strategy": pbt(), "steps": 8, "mode": "max", "seed": 0}
    return {**same, **changes}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def checkpoints_in(store: Path, name: str = "run") -> set[str]:
    return set(DirectoryBlobs(f"{store}-checkpoints").sizes(name))


@pytest.mark.parametrize("workers", [0, 1])
def test_other_settings_are_refused_until_the_run_is_overwritten(store: Path, workers: int) -> None:
    ramet.run(Descent(), **settings(), store=store)
    before = checkpoints_in(store)
    with pytest.raises(RunMismatch, match="or replace the old run with existing='overwrite'"):
        ramet.run(Descent(), **settings(seed=1), store=store)
    arguments = settings(seed=1, steps=12)
    result = ramet.run(Descent(), **arguments, store=store, existing="overwrite", workers=workers)
    assert result.population == ramet.run(Descent(), **arguments).population
    assert not before & checkpoints_in(store)
    assert findings_in(store) == []


def test_a_name_that_is_new_is_begun_and_other_runs_stay(store: Path) -> None:
    other = ramet.run(Descent(), **settings(), store=store, name="other")
    for _ in range(2):
        ramet.run(Descent(), **settings(), store=store, existing="overwrite")
    assert result_in(store, "other").log == other.log
    assert findings_in(store, "other") == []


def test_settings_that_cannot_be_delete_nothing(store: Path) -> None:
    before = ramet.run(Descent(), **settings(), store=store)
    grid = ramet.Grid([{"lr": 0.1}], turn_steps=4)
    with pytest.raises(SpaceError, match="missing"):
        ramet.run(Descent(), **settings(strategy=grid), store=store, existing="overwrite")
    assert result_in(store).log == before.log
    assert before.best.load()


def test_a_run_at_work_is_not_overwritten_and_says_who_is_at_work(store: Path) -> None:
    other = ramet.open(store, **settings(), worker="gpu-03")
    assert other.ask() is not None
    with pytest.raises(RunInUse, match="gpu-03 hold members"):
        ramet.run(Descent(), **settings(), store=store, existing="overwrite")
    other.release_all()
    assert ramet.run(Descent(), **settings(), store=store, existing="overwrite").population.done


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_worker_of_the_old_run_takes_no_turn_of_the_new_one(
    store: Path, *, asked_before: bool
) -> None:
    old = ramet.open(store, **settings(), worker="old")
    if asked_before:
        turn = old.ask()
        assert turn is not None
        old.release(turn)
    new = ramet.open(store, **settings(seed=1), existing="overwrite")
    with pytest.raises(RunNotFound, match="has been overwritten since by another call"):
        old.ask()
    assert new.ask() is not None
    assert len(result_in(store).log) == 1


def test_a_process_that_dies_before_old_checkpoints_are_deleted_leaves_a_whole_new_run(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramet.run(Descent(), **settings(), store=store)

    def dies(*_: object) -> None:
        raise OSError("the machine is gone")

    with monkeypatch.context() as patched:
        patched.setattr(DirectoryBlobs, "delete", dies)
        with pytest.raises(OSError, match="the machine is gone"):
            ramet.run(Descent(), **settings(seed=1), store=store, existing="overwrite")
    result = ramet.run(Descent(), **settings(seed=1), store=store)
    assert result.population == ramet.run(Descent(), **settings(seed=1)).population
    assert findings_in(store) == []


class Meddling(DirectoryBlobs):
    """Lets something happen just before checkpoints are deleted for the first time."""

    def __init__(self, path: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(path)
        self._meanwhile = [meanwhile]

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for happen in self._meanwhile[:]:
            self._meanwhile.clear()
            happen()
        super().delete(run, keys)


class Joining(SQLiteStore):
    """Lets another worker train as soon as the run is overwritten."""

    def __init__(self, path: Path, train: Callable[[], object]) -> None:
        super().__init__(path)
        self._train = train

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        written = super().overwrite_run(opening, worker=worker)
        self._train()
        return written


def train_turns(store: ramet.Storage | Path, turns: int | None = None, **more: Any) -> None:
    """Train a run on record, with the same seed, as another worker does."""
    task, other = Descent(), ramet.open(store, **settings(), **more)
    while turns != 0 and (turn := other.ask()) is not None:
        state = turn.load(default=task.init)
        state = task.step(state, turn.hparams, turn.steps, turn.rng)
        other.tell(turn, task.evaluate(state), state=state)
        turns = None if turns is None else turns - 1


@pytest.mark.parametrize("turns", [1, 5, None])
def test_a_worker_that_joins_at_once_with_the_same_seed_loses_no_checkpoint(
    store: Path, turns: int | None
) -> None:
    train_turns(store)
    joining = Joining(store, lambda: train_turns(store, turns))
    storage = ramet.Storage(joining, blobs=DirectoryBlobs(f"{store}-checkpoints"))
    ramet.open(storage, **settings(), existing="overwrite")
    assert findings_in(store) == []
    train_turns(store)
    assert result_in(store).population.done
    assert findings_in(store) == []


def test_no_member_can_be_trained_while_old_checkpoints_are_deleted(store: Path) -> None:
    train_turns(store)
    held: list[list[str | None]] = []

    def look() -> None:
        held.append([seat.worker for seat in SQLiteStore(store).seats("run")])

    blobs = Meddling(Path(f"{store}-checkpoints"), look)
    storage = ramet.Storage(store, blobs=blobs)
    ramet.open(storage, **settings(), existing="overwrite", worker="here")
    assert held == [["here"] * len(held[0])]
    assert {seat.worker for seat in SQLiteStore(store).seats("run")} == {None}
    assert checkpoints_in(store) == set()


class Suspended(MemoryStore):
    """Suspends the worker that overwrites the run, while another one trains all of the new one."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.meanwhile: list[Callable[[], object]] = []

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        for happen in self.meanwhile[:]:
            self.meanwhile.clear()
            happen()
        return super().renew(lease, ttl_s=ttl_s)


def test_a_worker_that_is_suspended_while_it_overwrites_deletes_nothing_of_the_new_run() -> None:
    clock = FakeClock()
    store, blobs = Suspended(clock), MemoryBlobs()
    storage = ramet.Storage(store, blobs=blobs)
    train_turns(storage, clock=clock)

    def train_the_new_one() -> None:
        clock.sleep(DELETING_S + 1.0)
        train_turns(storage, clock=clock)

    store.meanwhile.append(train_the_new_one)
    ramet.open(storage, **settings(), existing="overwrite", clock=clock)
    assert ramet.open(storage, **settings(), clock=clock).done
    assert examine(store, blobs, "run") == []


@pytest.mark.parametrize("turns", [0, 1, 12])
def test_a_worker_of_the_old_run_writes_and_deletes_nothing_of_the_new_one(turns: int) -> None:
    clock = FakeClock()
    store, blobs = MemoryStore(clock), MemoryBlobs()
    storage = ramet.Storage(store, blobs=blobs)
    old = ramet.open(storage, **settings(), clock=clock, worker="silent")
    assert old.ask() is not None
    clock.sleep(1_000.0)
    ramet.open(storage, **settings(), existing="overwrite", clock=clock)
    train_turns(storage, turns, clock=clock)
    before = store.events("run"), store.seats("run"), blobs.sizes("run")
    for verb in (old.stop, old.prune, lambda: old.give_up(5, turn=0, why="late"), old.ask):
        with pytest.raises(RunNotFound, match="has been overwritten since by another call"):
            verb()
    assert (store.events("run"), store.seats("run"), blobs.sizes("run")) == before


@pytest.mark.parametrize("turns", [0, 1, 12])
def test_a_view_of_the_old_run_says_that_it_was_overwritten(turns: int) -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    storage = ramet.Storage(store, blobs=blobs)
    ramet.run(Descent(), **settings(), store=storage)
    view = View(store, "run")
    new = ramet.open(storage, **settings(), existing="overwrite")
    for _ in range(turns):
        turn = new.ask()
        assert turn is not None
        list(turn)
        new.tell(turn, 0.5, state={"w": 0.0})

    with pytest.raises(RunNotFound, match="'run' has been overwritten since"):
        view.catch_up()
    assert View(store, "run").population.turns == turns

"""Checkpoints that cannot be read, and what their members go on from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import CheckpointDamaged, CheckpointMissing, LeaseLost
from ramet.events import AnyEvent, CheckpointLost, Copied, canonical, fold
from ramet.population import Checkpoint
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.engine.scripts import findings_in, result_in, seats_in

STRATEGY = pbt(population=5, exploit=None)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES: list[Callable[[Path], None]] = [flip, cut, empty, Path.unlink]


def settings(**changes: Any) -> dict[str, Any]:
    return {"space": SPACE, "strategy": STRATEGY, "steps": 24, "mode": "max", "seed": 0, **changes}


def begun(store: Path | ramet.Storage, turns: int = 15, **changes: Any) -> ramet.Run:
    """Train some turns of a run, member by member."""
    run = ramet.open(store, **settings(**changes))
    for _ in range(turns):
        trained(run)
    return run


def trained(run: ramet.Run) -> None:
    turn, task = run.ask(), Descent()
    assert turn is not None
    state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, task.evaluate(state), state=state)


def file_of(store: Path, checkpoint: Checkpoint | None) -> Path:
    assert checkpoint is not None
    folder = store.with_name(store.name + "-checkpoints")
    return folder / "run" / f"{checkpoint.key}.safetensors"


def losses(events: list[AnyEvent]) -> list[tuple[CheckpointLost, Copied]]:
    """Return each loss and the copy that must follow it."""
    found = []
    for place, event in enumerate(events):
        if isinstance(event, CheckpointLost):
            copy = events[place + 1]
            assert isinstance(copy, Copied)
            found.append((event, copy))
    return found


@pytest.mark.parametrize(
    ("damage", "workers"),
    # In a worker, one that is found when it is read and one that is found before.
    [*((damage, 0) for damage in DAMAGES), (flip, 1), (Path.unlink, 1)],
    ids=lambda it: getattr(it, "__name__", None),
)
@pytest.mark.parametrize("train", [Descent(), descent_loop], ids=["task", "loop"])
def test_a_member_falls_back_to_the_latest_checkpoint_of_its_own(
    damage: Callable[[Path], None], train: Any, workers: int, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    run = begun(ramet.Storage(store, keep="all"))
    damaged = run.population[3].checkpoint
    assert damaged is not None
    damage(file_of(store, damaged))
    found = findings_in(store)
    assert [(one.promise, one.key) for one in found] == [
        ("I7" if damage is Path.unlink else "I3", damaged.key)
    ]
    result = ramet.run(train, **settings(), store=ramet.Storage(store, keep="all"), workers=workers)
    ((lost, copy),) = losses(result.events)
    assert (lost.member, lost.key, copy.kind) == (3, damaged.key, "fallback")
    assert copy.weights is not None
    assert (copy.source, copy.weights.checkpoint.turn, copy.hparams) == (3, 1, None)
    assert result.population.done
    # It has trained as much as the others, and has the steps of one turn less behind it.
    assert (result.population[3].trained, result.population[3].step) == (24, 20)
    assert result.schedule()(23)
    assert findings_in(store) == []


def test_with_several_lost_it_goes_back_as_far_as_it_must(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = begun(ramet.Storage(store, keep="all"))
    for checkpoint in list(run.result().events):
        if getattr(checkpoint, "member", None) == 3 and getattr(checkpoint, "turn", 0) > 0:
            flip(file_of(store, checkpoint.checkpoint))
    result = ramet.run(Descent(), **settings(), store=ramet.Storage(store, keep="all"))
    ((_, copy),) = losses(result.events)
    assert copy.weights is not None
    assert (copy.kind, copy.weights.checkpoint.turn) == ("fallback", 0)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("synchronous", [False, True])
def test_without_one_of_its_own_it_is_born_again_from_the_best(
    workers: int, tmp_path: Path, *, synchronous: bool
) -> None:
    store = tmp_path / "runs.db"
    strategy = pbt(population=5, exploit=None, synchronous=synchronous)
    changes: dict[str, Any] = {"strategy": strategy}
    run = begun(store, turns=10, **changes)
    # What is not needed is gone, so that there is nothing to fall back to.
    run.prune()
    best = run.result().best.checkpoint
    member = next(one for one in run.population if one.id != best.member)
    cut(file_of(store, member.checkpoint))
    result = ramet.run(Descent(), **settings(**changes), store=store, workers=workers)
    ((lost, copy),) = losses(result.events)
    best_then = fold(result.events[: result.events.index(copy)]).best
    assert best_then is not None
    assert copy.weights is not None
    assert (lost.member, copy.kind) == (member.id, "rebirth")
    assert copy.weights.checkpoint == best_then.checkpoint
    assert result.population.done
    assert result.schedule()(0)
    assert findings_in(store) == []


def test_if_the_best_is_lost_its_member_takes_the_next_best(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = begun(store, turns=5)
    best = run.result().best.checkpoint
    file_of(store, best).unlink()
    result = ramet.run(Descent(), **settings(), store=store)
    ((lost, copy),) = losses(result.events)
    others = [one for one in run.population if one.id != best.member]
    assert lost.member == best.member
    assert copy.source == max(others, key=lambda one: one.curve.scores[-1]).id
    assert result.population.done


@pytest.mark.parametrize("workers", [0, 1])
def test_if_nothing_can_be_read_that_is_said_and_nothing_is_lost(
    workers: int, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    before = canonical(begun(store).result().events)
    folder = store.with_name(store.name + "-checkpoints")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointMissing):
        ramet.run(Descent(), **settings(), store=store, workers=workers)
    assert canonical(result_in(store).events) == before
    assert {seat.worker for seat in seats_in(store)} == {None}
    assert {finding.promise for finding in findings_in(store)} == {"I7"}
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "elsewhere").rename(folder)
    result = ramet.run(Descent(), **settings(), store=store, workers=workers)
    assert result.population == ramet.run(Descent(), **settings()).population


def test_by_hand_it_is_the_turn_that_fails(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = begun(store)
    turn = run.ask()
    assert turn is not None
    cut(file_of(store, turn.checkpoint))
    with pytest.raises(CheckpointDamaged) as caught:
        turn.load()
    run.recover(turn, caught.value)
    again = run.ask()
    assert again is not None
    assert (again.member, again.number) == (turn.member, turn.number)
    assert again.load()


def test_the_best_that_was_lost_is_not_given_out(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = ramet.run(Descent(), **settings(), store=store)
    flip(file_of(store, result.best.checkpoint))
    with pytest.raises(CheckpointDamaged):
        result.best.load()


def test_who_lost_its_member_as_well_lets_go_of_the_turn() -> None:
    clock = FakeClock()
    place = settings(strategy=pbt(population=1, exploit=None))
    store = ramet.Storage(MemoryStore(clock), blobs=MemoryBlobs(), keep="live")
    slow, quick = (ramet.open(store, worker=name, **place) for name in ("slow", "quick"))
    trained(slow)
    held = slow.ask()
    assert held is not None
    clock.sleep(61.0)
    trained(quick)
    quick.prune()
    with pytest.raises(CheckpointMissing) as caught:
        held.load()
    with pytest.raises(LeaseLost):
        slow.recover(held, caught.value)
    assert not slow.holds(held)
    assert not losses(slow.result().events)
    following = slow.ask()
    assert following is not None
    assert following.number == 2

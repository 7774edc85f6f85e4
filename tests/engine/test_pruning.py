"""Which checkpoints are there, while a run is at work and when it is over."""

import math
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.blobs import DirectoryBlobs, MemoryBlobs
from ramet.digest import digest
from ramet.engine.workers.loop import work
from ramet.events import AnyEvent, CheckpointLost, TurnEnded, fold
from ramet.history.keeping import (
    find_files,
    find_needed,
    find_rows,
    find_unneeded,
    is_worth_keeping,
)
from ramet.store import MemoryStore, SQLiteStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in
from tests.values import stacked_logs

KEEPS = ["live", "lineage", "best", "all"]


def files_of(log: list[AnyEvent]) -> set[str]:
    """Return the files that a log's ended turns left."""
    return find_files([e.checkpoint for e in log if isinstance(e, TurnEnded)], ())


def keys_of(log: list[AnyEvent]) -> set[str]:
    """Return what a log's turns may have left, those that were not committed among it."""
    return files_of(log) | {f"{member.id}-{member.turn}-x" for member in fold(log)}


@given(drawn=stacked_logs(), keep=st.sampled_from(KEEPS), data=st.data())
def test_what_is_unneeded_is_never_needed_later_nor_a_turn_that_has_not_ended(
    drawn: tuple[list[AnyEvent], list[int]], keep: Any, data: st.DataObject
) -> None:
    log, cuts = drawn
    now = data.draw(st.sampled_from(cuts))
    population = fold(log[:now])
    there = keys_of(log) | keys_of(log[:now])
    gone = set(find_unneeded(there, population, keep))
    # With more budget, those that kept the best only go on from it.
    keeps_members = keep != "best" or not population.done or population.best is None
    later = population
    for event in log[now:]:
        later = fold([event], later)
        needed = find_files(find_needed(later, keep), there)
        assert not keeps_members or not gone & needed
    for key in gone:
        member, turn = (int(part) for part in key.split("-")[:2])
        assert turn < population[member].turn


@given(drawn=stacked_logs(), keep=st.sampled_from(KEEPS))
def test_what_is_pruned_and_what_is_needed_is_all_that_turns_left(
    drawn: tuple[list[AnyEvent], list[int]], keep: Any
) -> None:
    log, _ = drawn
    population, left = fold(log), files_of(log)
    gone = set(find_unneeded(left, population, keep))
    needed = find_files(find_needed(population, keep), left)
    assert gone | needed >= (left if keep != "all" else set())
    assert not gone & needed


@given(drawn=stacked_logs(), keep=st.sampled_from(["live", "lineage", "best"]))
def test_stacks_that_stay_hold_at_most_four_states_for_each_that_is_needed(
    drawn: tuple[list[AnyEvent], list[int]], keep: Any
) -> None:
    log, _ = drawn
    population, left = fold(log), files_of(log)
    ended = [event.checkpoint for event in log if isinstance(event, TurnEnded)]
    rows = Counter(checkpoint.stack for checkpoint in ended)
    there = left - set(find_unneeded(left, population, keep))
    stay = {
        stack
        for stack, needed in find_rows(there, population, keep).items()
        if is_worth_keeping(len(needed), rows[stack], population, keep)
    }
    assert sum(rows[stack] for stack in stay) <= 4 * len(find_needed(population, keep))


@given(drawn=stacked_logs(), keep=st.sampled_from(KEEPS))
def test_once_all_needed_states_of_a_stack_are_taken_out_it_is_unneeded(
    drawn: tuple[list[AnyEvent], list[int]], keep: Any
) -> None:
    log, _ = drawn
    population, left = fold(log), files_of(log)
    rows = find_rows(left, population, keep)
    taken_out = {kept.key for needed in rows.values() for kept in needed}
    there = left | taken_out
    gone = set(find_unneeded(there, population, keep))
    assert gone >= rows.keys()
    assert not gone & taken_out
    assert find_files(find_needed(population, keep), there - gone) <= there - gone


def test_what_members_left_that_this_run_does_not_have_is_pruned() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    foreign = f"{len(run.population)}-0-{'0' * 32}"
    assert list(find_unneeded([foreign], run.population, "lineage")) == [foreign]
    assert list(find_unneeded([foreign], run.population, "all")) == []


@pytest.mark.parametrize(("keep", "workers"), [*((keep, 0) for keep in KEEPS), ("lineage", 1)])
def test_in_the_end_there_is_what_the_run_keeps_and_nothing_else(
    keep: Any, workers: int, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    result = ramet.run(
        Descent(),
        SPACE,
        pbt(),
        steps=40,
        mode="max",
        seed=0,
        store=ramet.Storage(store, keep=keep),
        workers=workers,
    )
    population = result.population
    live = {member.checkpoint.key for member in population if member.checkpoint}
    best = result.best.checkpoint.key
    every = {event.checkpoint.key for event in result.events if isinstance(event, TurnEnded)}
    wanted = {"live": live, "lineage": live | {best}, "best": {best}, "all": every}[keep]
    blobs = DirectoryBlobs(tmp_path / "runs.db-checkpoints")
    assert set(blobs.sizes("run")) == wanted
    assert findings_in(store) == []


def test_who_asks_what_would_go_deletes_nothing() -> None:
    settings: dict[str, Any] = {
        "space": SPACE,
        "strategy": pbt(),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=MemoryBlobs())}
    ramet.run(Descent(), **settings, **place)
    before = place["store"].blobs.sizes("run")
    superseded = f"0-0-{digest([b'old'])}"
    place["store"].blobs.put("run", superseded, [b"old"])
    run = ramet.open(**settings, **place)
    assert run.prune(dry_run=True) == {superseded: 3}
    assert place["store"].blobs.sizes("run") == {**before, superseded: 3}
    assert run.prune() == {superseded: 3}
    assert place["store"].blobs.sizes("run") == before


def test_workers_that_live_for_few_turns_prune_too(tmp_path: Path) -> None:
    for _ in range(12):
        run = ramet.open(
            tmp_path / "runs.db", space=SPACE, strategy=pbt(), steps=400, mode="max", seed=0
        )
        for _ in range(5):
            turn = run.ask()
            assert turn is not None
            list(turn)
            run.tell(turn, turn.hparams["lr"] + turn.hparams["decay"], state=Tiny().init(turn.rng))
        there = DirectoryBlobs(tmp_path / "runs.db-checkpoints").sizes("run")
        assert len(there) <= most(6, 1)


def test_the_best_alone_stays_even_if_the_last_turn_is_lost() -> None:
    blobs = MemoryBlobs()

    class FailsAtTheEnd(Descent):
        def evaluate(self, state: Any) -> float:
            if state["seen"] == 12:
                raise MemoryError
            return super().evaluate(state)

    place: dict[str, Any] = {"store": ramet.Storage(MemoryStore(), blobs=blobs, keep="best")}
    strategy = pbt(population=3, exploit=None)
    ramet.run(
        FailsAtTheEnd(),
        SPACE,
        strategy,
        steps=12,
        mode="max",
        seed=0,
        engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0)),
        **place,
    )
    assert len(blobs.sizes("run")) == 1


def test_without_a_best_members_keep_theirs_and_go_on_with_more_steps(tmp_path: Path) -> None:
    class Diverges(Descent):
        def evaluate(self, state: Any) -> float:
            return super().evaluate(state) if state["seen"] > 12 else math.nan

    def run(steps: int, **more: Any) -> ramet.Result:
        return ramet.run(
            Diverges(),
            SPACE,
            pbt(exploit=None),
            steps=steps,
            mode="max",
            seed=0,
            store=ramet.Storage(tmp_path / "runs.db", keep="best"),
            **more,
        )

    result = run(12)
    checkpoints = DirectoryBlobs(tmp_path / "runs.db-checkpoints")
    assert set(checkpoints.sizes("run")) == {
        m.checkpoint.key for m in result.population if m.checkpoint
    }
    assert len(checkpoints.sizes("run")) == 6
    longer = run(24, existing="extend")
    assert not any(isinstance(event, CheckpointLost) for event in longer.events)
    assert set(checkpoints.sizes("run")) == {longer.best.checkpoint.key}
    assert findings_in(tmp_path / "runs.db") == []


def test_files_of_a_killed_writer_are_deleted_by_the_next_pruning(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {
        "space": SPACE,
        "strategy": pbt(),
        "steps": 8,
        "mode": "max",
        "seed": 0,
    }
    ramet.run(Descent(), **settings, store=tmp_path / "runs.db")
    begun = tmp_path / "runs.db-checkpoints" / "run" / "0123456789abcdef.tmp"
    begun.write_bytes(b"half")
    run = ramet.open(tmp_path / "runs.db", **settings)
    run.prune(dry_run=True)
    assert begun.exists()
    assert run.prune() == {}
    assert not begun.exists()


class Tiny:
    """A turn that takes hardly any time."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": rng.random()}

    def step(self, state: dict[str, Any], hparams: Any, steps: int, rng: Any) -> dict[str, Any]:
        return {"w": state["w"] + hparams["lr"] * rng.random() + hparams["decay"]}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["w"])


def most(members: int, workers: int) -> int:
    """Return how many checkpoints may be there at a time."""
    return members + 1 + max(8, members // 4) + 2 * workers


class Watch:
    """Counts what is there after every turn."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.most = folder, 0

    def __call__(self, _: object) -> None:
        there = sum(name.endswith(".safetensors") for name in os.listdir(self.folder))  # noqa: PTH208 - twice as fast
        self.most = max(self.most, there)


@pytest.mark.parametrize(
    ("members", "rounds", "synchronous"),
    [
        (20, 30, False),
        pytest.param(200, 50, False, marks=pytest.mark.slow),
        pytest.param(200, 10, True, marks=pytest.mark.slow),
    ],
)
def test_the_disk_holds_little_more_than_the_members_however_long_a_run_is(
    members: int, rounds: int, *, synchronous: bool, tmp_path: Path
) -> None:
    strategy = ramet.PBT(population=members, turn_steps=1, synchronous=synchronous)
    watch = Watch(tmp_path / "blobs" / "run")

    def train() -> None:
        run = ramet.open(
            ramet.Storage(
                SQLiteStore(tmp_path / "runs.db", durability="process"),
                blobs=DirectoryBlobs(tmp_path / "blobs", durability="process"),
            ),
            space=SPACE,
            strategy=strategy,
            steps=rounds,
            mode="max",
            seed=0,
        )
        work(run, Tiny(), watch)

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert members <= watch.most <= most(members, 2)

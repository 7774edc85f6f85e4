"""Runs that worker processes train."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import DirectoryBlobs
from ramet.events import canonical
from tests.engine.loops import SPACE, Descent, descent_loop, pbt
from tests.engine.scripts import ended, findings_in, seats_in

SYNCHRONOUS = pbt(population=7, synchronous=True, evaluate_every=2)


def same(one: ramet.Result, other: ramet.Result) -> bool:
    return (
        canonical(one.events) == canonical(other.events)
        and one.population == other.population
        and list(one.schedule()) == list(other.schedule())
    )


@pytest.mark.parametrize(
    "workers", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_synchronous_run_is_the_same_for_any_number_of_processes(
    workers: int, tmp_path: Path
) -> None:
    alone = ramet.run(Descent(), SPACE, SYNCHRONOUS, steps=40, mode="max", seed=0)
    store = tmp_path / "runs.db"
    together = ramet.run(
        Descent(), SPACE, SYNCHRONOUS, steps=40, mode="max", seed=0, store=store, workers=workers
    )
    assert same(together, alone)
    assert findings_in(store) == []
    assert [seat.worker for seat in seats_in(store)] == [None] * 7
    assert Descent().evaluate(together.best.load()) == together.best.score


def test_asynchronous_processes_end_every_turn_once(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = ramet.run(
        Descent(), SPACE, pbt(), steps=24, mode="max", seed=0, store=store, workers=2
    )
    assert ended(result) == [(member, turn) for member in range(6) for turn in range(6)]
    assert findings_in(store) == []


def offset_by(offset: float) -> Any:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            turn.report(turn.hparams["lr"] + turn.hparams["decay"] + offset)

    return train


class Called:
    """An object that is called with the member, and has something to remember."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def __call__(self, session: ramet.Session) -> None:
        offset_by(self.offset)(session)


@pytest.mark.parametrize(
    "train",
    [descent_loop, offset_by(0.5), Called(0.5), Called(0.5).__call__, lambda m: descent_loop(m)],  # noqa: PLW0108 - the point
    ids=["function", "closure", "callable", "method", "lambda"],
)
def test_whatever_can_be_called_can_be_trained_in_processes(train: Any) -> None:
    strategy = pbt(population=5, synchronous=True)
    alone = ramet.run(train, SPACE, strategy, steps=8, mode="max", seed=0)
    assert same(ramet.run(train, SPACE, strategy, steps=8, mode="max", seed=0, workers=1), alone)


def test_a_space_with_code_of_its_own_goes_along() -> None:
    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0, explore=ramet.Resample()),
        decay=ramet.Uniform(0.0, 0.5),
        where=lambda h: h["lr"] + h["decay"] < 1.0,
    )
    strategy = pbt(synchronous=True)
    alone = ramet.run(Descent(), space, strategy, steps=16, mode="max", seed=0)
    assert same(
        ramet.run(Descent(), space, strategy, steps=16, mode="max", seed=0, workers=1), alone
    )


def test_without_a_store_checkpoints_last_as_long_as_the_result() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0, workers=1)
    best = result.best
    folder = best._blobs.path.parent  # noqa: SLF001 - nobody else can know where it is
    assert folder.exists()
    del result
    gc.collect()
    assert Descent().evaluate(best.load()) == best.score
    del best
    gc.collect()
    assert not folder.exists()


def test_blobs_without_a_store_are_written_and_stay(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "kept", durability="process")
    result = ramet.run(
        Descent(),
        SPACE,
        pbt(),
        steps=8,
        mode="max",
        seed=0,
        workers=1,
        store=ramet.Storage(blobs=blobs),
    )
    assert len(blobs.sizes("run")) == 12
    assert Descent().evaluate(result.best.load()) == result.best.score


def test_paths_that_python_skips_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [Path("/nowhere"), *sys.path])
    assert ramet.run(
        Descent(), SPACE, pbt(), steps=8, mode="max", seed=0, workers=1
    ).population.done


def environment_of(session: ramet.Session) -> None:
    for turn in session.turns({"set": {**os.environ}}):
        list(turn)
        turn.report(turn.hparams["lr"])


@pytest.mark.parametrize(("asked", "seen"), [(None, ("7", "7")), (3, ("3", "3"))])
def test_threads_that_are_asked_for_outdo_the_environment(
    asked: int | None, seen: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr("ramet.engine.processes.resources.usable_cores", lambda: 1)
    strategy = ramet.RandomSearch(population=1, turn_steps=1)
    space = ramet.Space(lr=ramet.Uniform(0.0, 1.0))
    result = ramet.run(
        environment_of,
        space,
        strategy,
        steps=1,
        mode="max",
        engine=ramet.Processes(1, threads=asked),
    )
    environment = result.best.load()["set"]
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == seen


def test_a_run_that_is_over_starts_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: dict[str, Any] = {"store": tmp_path / "runs.db"}
    first = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0, **place)
    monkeypatch.setattr("ramet.engine.processes.pool.subprocess.Popen", None)
    again = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", workers=2, **place)
    assert again.events == first.events


def test_if_not_all_workers_can_be_started_none_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    start, made = subprocess.Popen, []

    def only_once(*args: Any, **named: Any) -> Any:
        if made:
            raise OSError("no more processes")
        made.append(start(*args, **named))
        return made[0]

    monkeypatch.setattr("ramet.engine.processes.pool.subprocess.Popen", only_once)
    with pytest.raises(OSError, match="no more processes"):
        ramet.run(Descent(), SPACE, pbt(), steps=4_000, mode="max", seed=0, workers=2)
    assert made[0].poll() is not None

"""Conditions that floats depend on: chosen once, recorded, and kept to when a run goes on."""

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ramet
from ramet.engine.processes.resources import THREADS
from ramet.events import Conditions, Mapped, canonical
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import result_in
from tests.engine.stacked import Together

SEARCH = ramet.RandomSearch(population=2, turn_steps=1)


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for module in ("allowance", "resources", "threads"):
        monkeypatch.setattr(f"ramet.engine.processes.{module}.usable_cores", lambda: 8)


def note_threads(session: ramet.Session) -> None:
    for turn in session.turns({"threads": "0"}):
        list(turn)
        assert turn.hparams["lr"] >= 0.0
        turn.report(float(os.environ.get("OMP_NUM_THREADS", "0")))


def train(store: Path, *, steps: int, **settings: Any) -> set[float | None]:
    """Train both members up to so many steps; return the threads that they had last."""
    result = ramet.run(
        note_threads,
        ramet.Space(lr=ramet.Uniform(0.0, 1.0)),
        SEARCH,
        steps=steps,
        mode="max",
        store=store,
        existing="extend",
        **settings,
    )
    return {member.score for member in result.population}


def recorded(store: Path) -> list[Conditions]:
    return [event for event in result_in(store).events if isinstance(event, Conditions)]


@pytest.mark.slow
def test_a_run_keeps_its_threads_whatever_the_number_of_workers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs.db"
    assert train(store, steps=1, workers=2) == {4.0}
    assert train(store, steps=2, workers=1) == {4.0}
    assert "at once until now" not in caplog.text
    assert train(store, steps=3, workers=4) == {4.0}
    assert "keeps to the 4 threads a process that it was begun with" in caplog.text
    assert "for 4 workers is more than 8 cores" in caplog.text
    assert recorded(store) == [Conditions(threads=4)]


@pytest.mark.slow
def test_threads_that_are_asked_for_are_given_and_a_difference_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs.db"
    assert train(store, steps=1, engine=ramet.Processes(1, threads=3)) == {3.0}
    assert train(store, steps=2, workers=2) == {3.0}
    assert "at once until now" not in caplog.text
    assert train(store, steps=3, engine=ramet.Processes(1, threads=2)) == {2.0}
    assert "trained with 3 threads a process and goes on with 2, so that sums" in caplog.text
    assert "Processes(..., threads=3)" in caplog.text
    caplog.clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert train(store, steps=4, workers=1) == {1.0}
    assert "trained with 3 threads a process and goes on with 1" in caplog.text


def test_a_process_with_other_threads_than_the_run_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs.db"
    train(store, steps=1)
    assert recorded(store) == [Conditions(threads=8)]
    train(store, steps=2)
    assert "threads" not in caplog.text
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    train(store, steps=3)
    assert "trained with 8 threads a process and goes on with 2" in caplog.text
    assert "OMP_NUM_THREADS=8" in caplog.text
    caplog.clear()
    # What PyTorch says of itself, once a script has loaded it.
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 8))
    train(store, steps=4)
    assert "threads" not in caplog.text


def test_a_run_that_is_over_is_not_warned_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs.db"
    train(store, steps=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    train(store, steps=1)
    assert "threads" not in caplog.text


def test_equal_runs_are_equal_under_any_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ramet.run(Descent(), SPACE, pbt(synchronous=True), steps=8, mode="max", seed=0)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    other = ramet.run(Descent(), SPACE, pbt(synchronous=True), steps=8, mode="max", seed=0)
    assert one.events != other.events
    assert canonical(one.events) == canonical(other.events)
    assert one.population == other.population


def test_another_number_mapped_at_once_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place: dict[str, Any] = {"store": tmp_path / "runs.db", "seed": 0, "engine": ramet.Vectorized()}
    ramet.run(Together(), SPACE, pbt(), steps=8, mode="max", **place)
    ramet.run(Together(), SPACE, pbt(), steps=12, mode="max", existing="extend", **place)
    assert "at once until now" not in caplog.text
    monkeypatch.setattr("tests.engine.stacked.CHUNK", 3)
    with caplog.at_level(logging.WARNING, "ramet"):
        ramet.run(Together(), SPACE, pbt(), steps=16, mode="max", existing="extend", **place)
    assert "with 1 member at once until now and goes on with chunk=3" in caplog.text
    assert recorded(place["store"]) == [
        Conditions(threads=8),
        Conditions(mapped=Mapped(chunk=1)),
    ]

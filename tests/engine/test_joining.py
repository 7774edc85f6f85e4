"""Another process may train as one more worker of a run that exists."""

from pathlib import Path

import pytest

import ramet
from ramet.errors import RunMismatch, RunNotFound, UsageError
from tests.engine.loops import SPACE, Descent, pbt


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def test_who_joins_trains_the_run_with_its_own_settings(store: Path) -> None:
    run = ramet.open(store, space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0, name="bowl")
    assert not run.over
    result = ramet.join(Descent(), store)
    alone = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    assert result.population == alone.population
    assert result.opening.name == "bowl"
    assert ramet.join(Descent(), store, name="bowl", workers=1).log == result.log


@pytest.mark.parametrize("name", [None, "other"])
def test_a_run_that_is_not_there_cannot_be_joined(store: Path, name: str | None) -> None:
    with pytest.raises(RunNotFound, match="does not exist"):
        ramet.join(Descent(), store, name=name)
    assert not store.exists()
    for run in ("one", "two"):
        ramet.open(store, space=SPACE, strategy=pbt(), steps=8, mode="max", name=run)
    with pytest.raises(RunNotFound, match=r"has 'one', 'two'"):
        ramet.join(Descent(), store, name=name)


@pytest.mark.parametrize("store", [None, ramet.Storage(keep="all")])
def test_a_run_cannot_be_joined_without_a_store(store: ramet.Storage | None) -> None:
    with pytest.raises(UsageError, match=r"pass the path of its file, as in ramet\.join"):
        ramet.join(Descent(), store)


def test_what_is_code_in_a_space_must_be_given_to_those_that_join(store: Path) -> None:
    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0),
        decay=ramet.Uniform(0.0, 0.5),
        where=lambda hparams: hparams["lr"] < 0.5,
    )
    ramet.open(store, space=space, strategy=pbt(), steps=8, mode="max")
    with pytest.raises(UsageError, match=r"the space of run 'run' must be given .* pass space="):
        ramet.join(Descent(), store)
    assert ramet.join(Descent(), store, space=space).population.done


def test_other_settings_are_refused_with_what_a_worker_that_joins_can_do(store: Path) -> None:
    ramet.open(store, space=SPACE, strategy=pbt(), steps=8, mode="max")
    with pytest.raises(RunMismatch, match=r"or leave them out to use those on record$"):
        ramet.join(Descent(), store, strategy=pbt(population=9))


def test_one_way_to_say_what_trains_is_enough(store: Path) -> None:
    with pytest.raises(UsageError, match=r"must have one of the two, but got both, workers=2"):
        ramet.run(
            Descent(), SPACE, pbt(), steps=8, mode="max", workers=2, engine=ramet.Processes(2)
        )

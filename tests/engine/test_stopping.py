"""Runs that are stopped, gone on with and extended."""

import logging
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.errors import RunMismatch
from ramet.events import CheckpointLost, Extended, Resumed, Stopped, canonical
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import ended, findings_in, result_in, seats_in

STRATEGY = pbt(population=5, synchronous=True)


def settings(**changes: Any) -> dict[str, Any]:
    return {"space": SPACE, "strategy": STRATEGY, "steps": 16, "mode": "max", "seed": 3, **changes}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def begun(store: Path) -> Path:
    """Return the store of a run of which some turns are over."""
    run = ramet.open(store, **settings())
    for _ in range(7):
        trained(run, Descent())
    return store


def trained(run: ramet.Run, task: Descent) -> None:
    turn = run.ask()
    assert turn is not None
    state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
    run.tell(turn, task.evaluate(state), state=state)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 8}, ["steps: 16 -> 8"]),
        ({"steps": 20}, ["steps: 16 -> 20", "or raise steps with existing='extend'"]),
        ({"steps": 8, "existing": "extend"}, ["steps: 16 -> 8"]),
        ({"seed": 4}, ["seed: 3 -> 4"]),
        ({"mode": "min"}, ["mode: 'max' -> 'min'"]),
        ({"strategy": pbt(population=6, synchronous=True)}, ["strategy.population: 5 -> 6"]),
        ({"strategy": pbt(population=5)}, ["strategy.synchronous: True -> False"]),
        ({"strategy": ramet.RandomSearch(population=5, turn_steps=4)}, ["PBT", "RandomSearch"]),
        ({"space": ramet.Space(lr=SPACE["lr"])}, ["space.domains.decay"]),
        ({"seed": 4, "mode": "min", "steps": 20}, ["seed: 3 -> 4", "mode: ", "steps: 16 -> 20"]),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_goes_on_only_as_it_was_begun(
    changes: dict[str, Any], named: list[str], workers: int, begun: Path
) -> None:
    before = result_in(begun).log
    with pytest.raises(RunMismatch) as caught:
        ramet.run(Descent(), **settings(**changes), store=begun, workers=workers)
    for name in named:
        assert name in str(caught.value)
    assert result_in(begun).log == before


def test_a_run_keeps_the_checkpoints_that_it_was_opened_to_keep(begun: Path) -> None:
    with pytest.raises(RunMismatch, match="keep: 'lineage' -> 'all'"):
        ramet.run(Descent(), **settings(), store=ramet.Storage(begun, keep="all"))


def test_the_seed_and_what_is_kept_need_not_be_said_again(store: Path) -> None:
    run = ramet.open(ramet.Storage(store, keep="all"), **settings())
    trained(run, Descent())
    result = ramet.run(Descent(), **settings(seed=None), store=store)
    assert result.seed == 3
    assert result.opening.keep == "all"


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_can_be_given_more_steps(*, over: bool, workers: int, begun: Path) -> None:
    if over:
        ramet.run(Descent(), **settings(), store=begun)
    result = ramet.run(
        Descent(), **settings(steps=26), existing="extend", store=begun, workers=workers
    )
    assert [event.steps for event in result.events if isinstance(event, Extended)] == [26]
    assert [member.trained for member in result.population] == [26] * 5
    assert ended(result) == [(member, turn) for member in range(5) for turn in range(7)]
    again = ramet.run(Descent(), **settings(steps=26), existing="extend", store=begun)
    assert again.log == result.log
    with pytest.raises(RunMismatch, match="steps: 26 -> 16"):
        ramet.run(Descent(), **settings(), existing="extend", store=begun)
    assert findings_in(begun) == []


def test_who_keeps_only_the_best_goes_on_from_it_when_there_are_more_steps(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramet.run(Descent(), **settings(), store=ramet.Storage(store, keep="best"))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "ramet"):
        place = ramet.Storage(store, keep="best")
        result = ramet.run(Descent(), **settings(steps=24), existing="extend", store=place)
    assert result.population.done
    (said,) = caplog.messages
    assert "kept only its best checkpoint (keep='best'): with more steps, all members go" in said
    lost = [event.error for event in result.events if isinstance(event, CheckpointLost)]
    assert set(lost) == {"the run was over, and kept only its best checkpoint (keep='best')"}
    assert findings_in(store) == []


class Stopping(Descent):
    """Has the run stopped in its nth turn, from wherever it is trained."""

    def __init__(self, store: Path, mark: Path) -> None:
        self.store, self.mark = store, mark

    def step(self, *args: Any) -> Any:
        if not self.mark.exists():
            self.mark.touch()
            ramet.open(self.store, **settings()).stop()
        return super().step(*args)


@pytest.mark.parametrize("workers", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_of_a_stopped_run_end_after_their_turn_and_the_run_goes_on(
    workers: int, store: Path
) -> None:
    whole = ramet.run(Descent(), **settings())
    task = Stopping(store, store.with_name("stopped"))
    result = ramet.run(task, **settings(), store=store, workers=workers)
    assert 1 <= result.population.turns <= max(workers, 1)
    assert not result.population.done
    assert result.population.stopped
    assert {seat.worker for seat in seats_in(store)} == {None}
    went_on = ramet.run(task, **settings(), store=store, workers=workers)
    assert [type(event) for event in went_on.events if isinstance(event, Stopped | Resumed)] == [
        Stopped,
        Resumed,
    ]
    assert canonical(went_on.events) == canonical(whole.events)


def test_a_stopped_run_gives_no_turns_until_it_is_opened_again(store: Path) -> None:
    run = ramet.open(store, **settings())
    turn = run.ask()
    assert turn is not None
    run.stop()
    run.stop()
    assert run.ask() is None
    list(turn)
    run.tell(turn, 0.5, state={})
    assert run.ask() is None
    assert not run.done
    assert ramet.open(store, **settings()).ask() is not None
    assert not run.stopped
    assert sum(isinstance(event, Stopped) for event in run.result().events) == 1

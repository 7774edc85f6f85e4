"""Turns that are guessed from scores alone, before anything of their round is on record."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

import ramet
from ramet.engine.run.foresight import Foresight
from ramet.engine.run.guessing import UNWRITTEN, Foreseen, Guesses
from ramet.engine.workers import vectorized
from ramet.events import canonical
from ramet.population import Checkpoint
from ramet.space.values import Values
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.stacked import Together

STRATEGIES = {
    "pbt": pbt(synchronous=True),
    "several scores": pbt(synchronous=True, evaluate_every=2),
    "weights": pbt(synchronous=True, copies="weights"),
    "hyperparameters": pbt(synchronous=True, copies="hparams"),
    "fire": ramet.FIRE(turn_steps=4, evaluate_every=1, size=3),
    "random": ramet.RandomSearch(population=4, turn_steps=4, synchronous=True),
}


@pytest.fixture(autouse=True)
def always_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", -1.0)


def train(task: Any, strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    same: dict[str, Any] = {"steps": 48, "mode": "max", "seed": 0, "engine": ramet.Vectorized()}
    return ramet.run(task, SPACE, strategy, **{**same, **settings})


def keys(turns: Sequence[ramet.Turn]) -> list[Any]:
    return [
        (
            *(each.member, each.number, each.trained, each.start, each.stop, each.draws),
            *(dict(each.hparams.peek()), each.checkpoint, each.divide()),
        )
        for each in turns
    ]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each guess named the turns that follow from the whole record."""
    guess, foresee = Guesses.guess, Foresight.foresee
    seen: list[bool] = []

    def comparing(self: Foresight, turns: Any, scores: Any) -> Foreseen:
        guessed = guess(self._guesses, turns, scores)
        with monkeypatch.context() as patch:
            patch.setattr(Guesses, "guess", lambda *_: None)
            foreseen = foresee(self, turns, scores)
        if guessed is not None:
            seen.append(keys(guessed.turns) == keys(foreseen.turns))
        return foreseen if guessed is None else guessed

    monkeypatch.setattr(Foresight, "foresee", comparing)
    return seen


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_guess_is_what_follows_from_the_record(
    name: str, mode: Any, compared: list[bool]
) -> None:
    result = train(Together(), STRATEGIES[name], mode=mode)
    # What follows the first round is foreseen from its record, and nothing follows the last.
    assert compared == [True] * (result.population.round - 2)
    plain = train(Descent(), STRATEGIES[name], mode=mode, engine=None)
    assert canonical(result.events) == canonical(plain.events)


def test_a_guess_is_right_about_scores_that_are_not_finite(compared: list[bool]) -> None:
    class Diverges(Together):
        def evaluate(self, state: Any) -> float:
            score = super().evaluate(state)
            return math.nan if score > -0.3 else score

    result = train(Diverges(), STRATEGIES["pbt"])
    assert compared == [True] * (result.population.round - 2)
    assert any(member.copies for member in result.population)


class Chooses(ramet.RandomSearch):
    """A strategy of which a test says what it decides."""

    def decide(
        self, population: ramet.Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterable[Action]:
        return choose(population)


def choose(population: ramet.Population) -> list[Action]:
    raise NotImplementedError


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(
            lambda now: [Annotate(member=1, data=now.round), Copy(member=0, source=1)],
            id="notes",
        ),
        pytest.param(
            lambda _: [
                Copy(member=0, source=1, weights=False),
                Change(member=0, hparams={"lr": 0.1, "decay": 0.25}),
                Copy(member=2, source=0, hparams=False),
            ],
            id="several about one",
        ),
    ],
)
def test_a_guess_follows_what_a_strategy_decides(
    chosen: Any, compared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.choose", chosen)
    strategy = Chooses(population=4, turn_steps=4, synchronous=True)
    result = train(Together(), strategy)
    assert compared == [True] * (result.population.round - 2)


def test_members_that_rest_are_not_guessed(
    compared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def have_one_rest(population: ramet.Population) -> list[Action]:
        return [] if population.is_finished(1) else [Rest(member=1)]

    monkeypatch.setattr(f"{__name__}.choose", have_one_rest)
    train(Together(), Chooses(population=4, turn_steps=4, synchronous=True))
    assert compared == []


def test_a_run_with_a_target_is_not_guessed(compared: list[bool]) -> None:
    train(Together(), STRATEGIES["pbt"], target=1e9)
    assert compared == []


def test_a_shorter_last_round_is_guessed(compared: list[bool]) -> None:
    train(Together(), STRATEGIES["pbt"], steps=46)
    assert compared == [True] * 10


def test_nothing_is_guessed_after_a_guess_was_wrong(
    compared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_the_best(population: ramet.Population) -> list[Action]:
        best = population.best
        return [] if best is None else [Copy(member=0, source=best.checkpoint.member)]

    monkeypatch.setattr(f"{__name__}.choose", copy_the_best)
    strategy = Chooses(population=4, turn_steps=4, synchronous=True)
    together = train(Together(), strategy)
    alone = train(Descent(), strategy, engine=None)
    assert canonical(together.events) == canonical(alone.events)
    assert compared.count(False) == 1
    assert compared[-1] is False


def test_a_strategy_that_raises_because_of_a_guess_decides_from_the_record(
    compared: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare_with_the_best(population: ramet.Population) -> list[Action]:
        # The best so far is not yet that of the round in a guess.
        if population.best is not None:
            best = population.best.score
            assert all(member.score is None or member.score <= best for member in population)
        return []

    monkeypatch.setattr(f"{__name__}.choose", compare_with_the_best)
    strategy = Chooses(population=4, turn_steps=4, synchronous=True)
    result = train(Together(), strategy)
    assert result.population.done
    # Right until then, and none afterwards.
    assert set(compared) == {True}
    assert len(compared) < result.population.round - 2


def test_turns_of_uneven_lengths_are_foreseen_from_the_record(compared: list[bool]) -> None:
    strategy = replace(STRATEGIES["pbt"], synchronous=False)
    train(Together(), strategy)
    assert compared == []


def _change(turn: ramet.Turn, part: str) -> None:
    match part:
        case "draws":
            turn.draws = turn.draws.following()
        case "hparams":
            turn.hparams = Values({**turn.hparams.peek(), "lr": 0.123})
        case "checkpoint":
            assert turn.checkpoint is not None
            turn.checkpoint = structs.replace(turn.checkpoint, digest="0" * 32)
        case "unwritten":
            turn.checkpoint = Checkpoint(member=0, turn=7, step=4, digest=UNWRITTEN)
        case _:
            setattr(turn, part, getattr(turn, part) + 1)


PARTS = ("number", "trained", "start", "_steps", "draws", "hparams", "checkpoint", "unwritten")


@pytest.mark.parametrize("part", [None, *PARTS])
def test_a_turn_that_differs_in_anything_is_not_the_one_that_was_foreseen(part: str | None) -> None:
    run = ramet.open(space=SPACE, strategy=pbt(synchronous=True), steps=48, mode="max", seed=0)
    turns = run.ask_all()
    for turn in turns:
        list(turn)
    states = [{"w": np.zeros(1)} for _ in turns]
    run.tell_all(turns, [float(turn.member) for turn in turns], states=states)
    foreseen = run.ask_all()
    run.release_all()
    if part is not None:
        _change(foreseen[2], part)

    free, as_foreseen = run.foresight.claim(foreseen, {})
    assert as_foreseen == (part is None)
    assert (free == foreseen) == as_foreseen
    assert len(free) == len(foreseen)
    assert all(run.holds(turn) for turn in free)

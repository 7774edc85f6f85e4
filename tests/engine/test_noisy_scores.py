"""Scores with much noise: a lucky score is its member's alone, and dies with the next turn."""

import logging
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ramet
from ramet import report
from ramet.events import Copied
from ramet.population import Member
from ramet.strategies import Exploit
from tests.report.reading import Read

TURNS = 100
# What a turn adds to the quality of the weights, in standard deviations of the score's noise.
GAIN = 0.5


class Noisy:
    """Gets better by GAIN at each step, and is scored with a deviation of 1."""

    def __init__(self) -> None:
        self.noise = 0.0

    def init(self, rng: np.random.Generator) -> dict[str, float]:
        return {"quality": 0.0}

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        self.noise = float(rng.normal())
        return {"quality": state["quality"] + GAIN * steps * hparams["speed"]}

    def evaluate(self, state: Any) -> float:
        return float(state["quality"]) + self.noise


SPACE = ramet.Space(speed=ramet.Uniform(0.9, 1.1))


@dataclass(frozen=True)
class HolderOfTheHighest:
    """A rule as users write it: the last in the ranking copy the first."""

    def check(self, population: int) -> None: ...

    def pairs(
        self, members: Sequence[Member], ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[int, int]]:
        scored = [(m.score, m.id) for m in members if m.score is not None]
        for id_ in ready:
            if id_ in [id_ for _, id_ in sorted(scored)[: len(members) // 5]]:
                yield id_, max(scored)[1]


def train(exploit: Exploit, **settings: Any) -> ramet.Result:
    strategy = ramet.PBT(population=20, turn_steps=1, exploit=exploit)
    return ramet.run(Noisy(), SPACE, strategy, steps=TURNS, seed=0, mode="max", **settings)


@pytest.mark.parametrize(
    "exploit", [ramet.Truncation(), ramet.BinaryTournament(), ramet.TTest(), HolderOfTheHighest()]
)
def test_members_get_on_whatever_the_noise(exploit: Exploit) -> None:
    population = train(exploit).population
    assert statistics.median(member.step for member in population) > 0.7 * TURNS


@pytest.mark.slow
def test_members_get_on_with_workers_as_well() -> None:
    result = train(ramet.Truncation(), workers=4)
    assert statistics.median(member.step for member in result.population) > 0.7 * TURNS
    assert result.best.load()["quality"] > 0.7 * GAIN * TURNS


def test_no_member_is_copied_or_replaced_by_a_score_that_it_did_not_earn() -> None:
    result = train(ramet.Truncation())
    own: dict[int, bool] = {}
    copies = 0
    for event in result.events:
        if isinstance(event, Copied):
            copies += 1
            assert (own[event.member], own[event.source]) == (True, True)
            own[event.member] = False
        elif (member := getattr(event, "member", None)) is not None and hasattr(event, "digest"):
            own[member] = True
    assert copies > TURNS


@pytest.mark.parametrize("population", [5, 20])
def test_truncation_replaces_no_more_than_its_part_in_whatever_order_members_decide(
    population: int,
) -> None:
    for synchronous in (False, True):
        strategy = ramet.PBT(population=population, turn_steps=1, synchronous=synchronous)
        result = ramet.run(Noisy(), SPACE, strategy, steps=TURNS, mode="max", seed=1)
        copies = result.population.copies
        assert 0.1 * result.population.turns < copies <= 0.2 * result.population.turns


@dataclass(frozen=True)
class ByWhateverScore(HolderOfTheHighest):
    """A rule that ranks by the score behind the weights, whoever earned it."""

    def pairs(
        self, members: Sequence[Member], ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[tuple[int, int]]:
        ranked = sorted((m.weights_score, m.id) for m in members if m.weights_score is not None)
        for id_ in ready:
            if id_ in [id_ for _, id_ in ranked[: len(members) // 5]]:
                yield id_, ranked[-1][1]


def test_a_run_that_copies_take_back_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        result = train(ByWhateverScore())
    (said,) = [record.getMessage() for record in caplog.records]
    assert re.search(r"1,210 copies in 1,280 turns took back \d+% of all steps trained", said)
    text = Read(report.page(result)).text
    assert re.search(r"Much training was thrown away: .* members have used 100 steps each", text)


def test_turns_that_were_given_up_are_not_taken_for_copies(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Flaky(Noisy):
        def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
            if state["quality"] > 0 and rng.random() < 0.7:
                raise ZeroDivisionError
            return super().step(state, hparams, steps, rng)

    with caplog.at_level(logging.WARNING, "ramet"):
        strategy = ramet.RandomSearch(population=5, turn_steps=1)
        ramet.run(
            Flaky(),
            SPACE,
            strategy,
            steps=TURNS,
            seed=0,
            mode="max",
            engine=ramet.Inline(failures=ramet.Failures(retries=0, tolerate=1.0)),
        )
    assert "raised in turn" in caplog.text
    assert "took back" not in caplog.text


def test_a_run_that_gets_on_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        result = train(ramet.Truncation())
    assert caplog.records == []
    assert "thrown away" not in Read(report.page(result)).text

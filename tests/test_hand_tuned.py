"""The hand-tuned baseline: one relative schedule, over base values of each member's own."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import ramet
from ramet import Choice, Cosine, Drops, HandTuned, Integer, LogUniform, Space, Uniform
from ramet.errors import SpaceError, StrategyError
from ramet.strategies import Change
from tests import values
from tests.values import STEPS, TURN_STEPS

PACE: dict[str, Any] = {"population": 5, "turn_steps": TURN_STEPS}


def tuned(**shapes: Any) -> HandTuned:
    return HandTuned(population=1, turn_steps=TURN_STEPS, shapes=shapes, initial=[{"lr": 0.8}])


def test_a_member_is_born_with_the_middle_of_its_first_turn() -> None:
    # Turns are a quarter of the training: the first has its middle at 1/8.
    assert values.born(tuned(lr=Drops(at=(0.5,), warmup=0.25))) == [{"lr": pytest.approx(0.8 / 2)}]


@pytest.mark.parametrize(
    ("trained", "shape", "lr"),
    [
        (5, Drops(at=(0.5, 0.75), warmup=0.0), 0.8),
        (10, Drops(at=(0.5, 0.75), warmup=0.0), 0.08),
        (15, Drops(at=(0.5, 0.75), factor=0.5, warmup=0.0), 0.2),
        (5, Cosine(), 0.4 * (1 + math.cos(math.pi * 3 / 8))),
        (18, Cosine(last=0.5), 0.4 + 0.2 * (1 + math.cos(math.pi * 0.95))),
        (5, lambda part: 10 * part, 1.0),
        (5, lambda part: -part, 0.0),
    ],
)
def test_a_member_follows_its_schedule_over_its_base_inside_the_domain(
    trained: int, shape: Any, lr: float
) -> None:
    members = [values.member(0, 1.0, trained=trained, data={"lr": 0.8})]

    actions = values.decided(tuned(lr=shape), values.population(members))

    assert actions == [Change(member=0, hparams={"lr": pytest.approx(lr)})]


def test_a_schedule_is_relative_to_what_each_member_was_born_with() -> None:
    strategy = HandTuned(**PACE, shapes={"lr": Drops(at=(), warmup=0.0)})

    births = strategy.births(values.UNIT, STEPS, np.random.default_rng(0))

    assert [birth.data for birth in births] == [birth.hparams for birth in births]
    assert len({birth.hparams["lr"] for birth in births}) == 5


def test_a_scheduled_integer_stays_whole() -> None:
    strategy = HandTuned(
        population=1,
        turn_steps=TURN_STEPS,
        shapes={"n": lambda _: 0.3},
        initial=[{"n": 9, "lr": 0.1}],
    )

    assert values.born(strategy, Space(n=Integer(1, 9), lr=LogUniform(0.1, 1.0))) == [
        {"n": 3, "lr": 0.1}
    ]


def above(low: float) -> Space:
    return Space(lr=LogUniform(1e-5, 1.0, start=(0.1, 1.0)), where=lambda h: h["lr"] > low)


def test_base_values_are_drawn_until_where_accepts_the_whole_schedule() -> None:
    strategy = HandTuned(population=8, turn_steps=1, shapes={"lr": Cosine(last=0.02)})
    free = ramet.run(Rates(), above(1e-5), strategy, steps=20, mode="max", seed=0).population
    result = ramet.run(Rates(), above(0.01), strategy, steps=20, mode="max", seed=0)
    assert result.population.done
    assert all(member.hparams["lr"] > 0.01 for member in result.population)
    # Those that it accepts at once are as they would be without it.
    kept = [member.data for member in free if member.hparams["lr"] > 0.01]
    assert 0 < len(kept) < 8
    assert all(data in [member.data for member in result.population] for data in kept)


def test_a_schedule_that_where_rejects_is_refused_before_anything_is_trained() -> None:
    ending = HandTuned(population=3, turn_steps=1, shapes={"lr": Cosine()})
    with pytest.raises(SpaceError, match=r"1,000 base values .* every turn .*Cosine\(last=0.1\)"):
        ending.births(above(0.01), 20, np.random.default_rng(0))
    given = HandTuned(population=1, turn_steps=1, shapes={"lr": Cosine()}, initial=[{"lr": 0.8}])
    with pytest.raises(SpaceError, match=r"{'lr': 0.8} it rejects {'lr': 0.00.*}, from step 19 on"):
        given.births(above(0.01), 20, np.random.default_rng(0))


class Rates:
    """Keeps the rates that it is trained with."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"rates": []}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        return {"rates": [*state["rates"], hparams["lr"]]}

    def evaluate(self, state: dict[str, Any]) -> float:
        return 1.0


def extended(store: Path, *, steps: int, strategy: HandTuned, low: float) -> ramet.Result:
    place: dict[str, Any] = {"mode": "max", "seed": 0, "store": store}
    ramet.run(Rates(), above(low), strategy, steps=6, **place)
    return ramet.run(Rates(), above(low), strategy, steps=steps, existing="extend", **place)


def test_more_steps_whose_schedule_where_rejects_are_refused_before_anything_is_changed(
    tmp_path: Path,
) -> None:
    strategy = HandTuned(population=4, turn_steps=2, shapes={"lr": Cosine()})
    # The last of three turns keeps 7 % of the base values, and the last of six 2 %.
    for _ in range(2):
        with pytest.raises(SpaceError, match=r"steps=12 it rejects .* for member \d, from step 10"):
            extended(tmp_path / "runs.db", steps=12, strategy=strategy, low=0.012)
        result = ramet.history.load(tmp_path / "runs.db")
        assert (result.population.steps, result.population.turns) == (6, 12)


def test_more_steps_are_given_to_the_members_that_there_are(tmp_path: Path) -> None:
    # Of the first half of a longer schedule nothing is trained any more.
    early = HandTuned(
        population=4, turn_steps=2, shapes={"lr": lambda part: 0.001 if 0.1 < part < 0.15 else 1.0}
    )
    longer = extended(tmp_path / "runs.db", steps=24, strategy=early, low=0.01)
    assert longer.population.done


def test_a_where_that_has_changed_is_named_as_such() -> None:
    member = values.member(0, 1.0, trained=15, data={"lr": 0.1})
    population = values.population([member])
    population = replace(population, space=above(0.03))
    with pytest.raises(SpaceError, match="must accept every turn of a hand-tuned schedule"):
        values.decided(tuned(lr=Cosine()), population)


def test_a_schedule_of_what_is_no_number_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"got \['act', 'typo'\]; it has \['lr'\]"):
        values.born(
            HandTuned(**PACE, shapes={"act": Cosine(), "typo": Cosine(), "lr": Cosine()}),
            Space(act=Choice(["relu", "gelu"]), lr=Uniform(0.0, 1.0)),
        )


def test_no_schedule_at_all_is_refused() -> None:
    with pytest.raises(StrategyError, match="without a schedule this is RandomSearch"):
        tuned()


@pytest.mark.parametrize("part", [-0.1, 1.0, math.nan])
def test_a_part_outside_the_training_is_refused(part: float) -> None:
    for shape in (Drops, Cosine):
        with pytest.raises(StrategyError, match=r"parts of the training must lie in \[0, 1\)"):
            shape(warmup=part)
    with pytest.raises(StrategyError, match=r"parts of the training must lie in \[0, 1\)"):
        Drops(at=(part,))

"""A strategy that a user writes is run like any other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.errors import SpaceError, StrategyError
from ramet.events import Annotated, Birth, Copied, TurnEnded
from ramet.strategies import Action, Annotate, Change, Copy, Rest
from tests.engine.loops import SPACE, Descent


@dataclass(frozen=True)
class Follow:
    """Everybody copies member 0, and counts how often."""

    turn_steps: int = 4
    evaluate_every: int | None = None
    synchronous: bool = True
    copy: dict[str, Any] = field(default_factory=dict)

    def births(self, space: ramet.Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        return [Birth(hparams=space.sample(rng), group=id_ % 2, data={"n": 0}) for id_ in range(4)]

    def decide(
        self, population: ramet.Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        for member in ready:
            if member:
                yield Copy(**{"member": member, "source": 0, "kind": "follow", **self.copy})
                yield Annotate(member=member, data={"n": population[member].data["n"] + 1})
        yield Annotate(member=None, data=(population.round, float("nan")))


def test_its_copies_notes_and_groups_are_in_the_log() -> None:
    result = ramet.run(Descent(), SPACE, Follow(), steps=8, mode="max", seed=0)
    leader, *others = result.population
    assert all(member.checkpoint == leader.checkpoint for member in others)
    assert [member.group for member in result.population] == [0, 1, 0, 1]
    assert [member.data["n"] for member in others] == [2, 2, 2]
    assert {e.kind for e in result.events if isinstance(e, Copied)} == {"follow"}


def test_its_notes_are_as_the_log_gives_them_back() -> None:
    result = ramet.run(Descent(), SPACE, Follow(), steps=8, mode="max", seed=0)
    notes = [e.data for e in result.events if isinstance(e, Annotated) and e.member is None]
    assert notes == [[0, None], [1, None]]
    assert result.population.data == [1, None]


def test_a_curve_may_be_copied_whole_or_begin_with_its_last_point() -> None:
    for whole, steps in ((False, (8,)), (True, (2, 4, 6, 8))):
        strategy = Follow(evaluate_every=2, copy={"whole_curve": whole})
        result = ramet.run(Descent(), SPACE, strategy, steps=8, mode="max", seed=0)
        assert result.population[3].curve.steps == steps


def test_weights_of_a_member_that_has_none_cannot_be_copied() -> None:
    strategy = Follow(synchronous=False, copy={"source": 3})
    with pytest.raises(StrategyError, match="member 3 has not ended a turn"):
        ramet.run(Descent(), SPACE, strategy, steps=8, mode="max", seed=0)


@dataclass(frozen=True)
class Rests(Follow):
    """Some members rest in each round."""

    turn_steps: int = 3
    resting: tuple[tuple[int, ...], ...] = ((3,), (0, 1), (), (0, 1, 2))

    def births(self, space: ramet.Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        return [Birth(hparams=space.sample(rng), rests=id_ in self.resting[0]) for id_ in range(4)]

    def decide(self, population: ramet.Population, *args: Any) -> Iterator[Action]:
        if not population.done:
            yield from (Rest(member=id_) for id_ in self.resting[population.round + 1])


def test_members_that_rest_are_not_trained_and_not_waited_for() -> None:
    result = ramet.run(Descent(), SPACE, Rests(), steps=10, mode="max", seed=0)
    trained = [(e.member, e.turn) for e in result.events if isinstance(e, TurnEnded)]
    expected = {(id_, turn) for turn in range(4) for id_ in range(4)} - {
        (id_, turn) for turn, resting in enumerate(Rests().resting) for id_ in resting
    }
    assert set(trained) == expected
    assert len(trained) == len(expected)
    # The last turn is of one step.
    assert [member.trained for member in result.population] == [10] * 4
    assert [member.step for member in result.population] == [6, 6, 9, 7]


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Rests(resting=((0, 1, 2, 3), ())), "at least one member must train in the first round"),
        (Rests(resting=((), (0, 1, 2, 3))), "at least one member must train in each round"),
        (Rests(resting=((), (1, 1))), "a member may rest once a round"),
        (Rests(synchronous=False), "only in synchronous runs"),
        (Rests(synchronous=False, resting=((), (1,))), "only in synchronous runs"),
    ],
)
def test_rests_that_cannot_be_are_refused(strategy: ramet.Strategy, law: str) -> None:
    with pytest.raises(StrategyError, match=law):
        ramet.run(Descent(), SPACE, strategy, steps=6, mode="max", seed=0)


def test_values_outside_the_space_cannot_be_given() -> None:
    class Leaves(Follow):
        def decide(self, *args: Any) -> Iterator[Action]:
            yield Change(member=1, hparams={"lr": 7.0, "decay": 0.1})

    with pytest.raises(SpaceError, match="gives member 1 must lie in the space: 'lr' must be"):
        ramet.run(Descent(), SPACE, Leaves(), steps=8, mode="max", seed=0)


@pytest.mark.parametrize(
    "action",
    [
        Copy(member=2, source=0),
        Copy(member=-1, source=0),
        Copy(member=1, source=99),
        Change(member=4, hparams={"lr": 0.5, "decay": 0.1}),
        Annotate(member=2, data=None),
        Annotate(member=1, data=object()),
        "copy",
    ],
)
def test_an_action_that_cannot_be_carried_out_is_refused_and_nothing_is_written(
    action: Any,
) -> None:
    class Acts(Follow):
        def decide(self, *args: Any) -> Iterator[Action]:
            yield action

    run = ramet.open(space=SPACE, strategy=Acts(synchronous=False), steps=8, mode="max", seed=0)
    turns = [run.ask() for _ in range(2)]
    assert turns[1] is not None
    list(turns[1])
    with pytest.raises(StrategyError, match="a strategy"):
        run.tell(turns[1], 0.5, state={"w": 1.0})
    assert [type(event).__name__ for event in run.result().events] == ["RunOpened"]

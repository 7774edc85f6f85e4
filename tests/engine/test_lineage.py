"""Where weights come from, in runs whose states remember it themselves."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import CorruptLog, UnknownHyperparameter, UsageError
from ramet.events import Birth, Copied, Explored, RunOpened, TurnEnded, Weights
from ramet.history.lineage import Lineage
from ramet.history.schedule import schedule_behind
from ramet.population import Checkpoint
from ramet.state.codec import decode
from ramet.store import MemoryStore
from tests.engine.chaos import SPACE, Chaos


class Remembers:
    """A task whose state keeps the values of each step, and whose turns made it."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"lr": [], "n": [], "born": int(rng.integers(2**31))}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        return {
            **state,
            **{name: [*state[name], *[hparams[name]] * steps] for name in ("lr", "n")},
        }

    def evaluate(self, state: dict[str, Any]) -> float:
        # Nobody is ahead for long, nor by anything but chance.
        score = (sum(state["lr"]) * 7919 + state["born"]) % 13
        return float("nan") if score > 12 else score


@given(synchronous=st.booleans(), seed=st.integers(0, 2**32), steps=st.integers(1, 21))
@settings(max_examples=40, deadline=None)
def test_the_schedule_of_any_weights_is_what_they_were_trained_with(
    *, synchronous: bool, seed: int, steps: int
) -> None:
    blobs = MemoryBlobs()
    result = ramet.run(
        Remembers(),
        SPACE,
        Chaos(synchronous),
        steps=steps,
        mode="max",
        seed=seed,
        store=ramet.Storage(MemoryStore(), blobs=blobs, keep="all"),
    )
    lineage = result.lineage()
    assert len(lineage.turns) == result.population.turns
    for turn in lineage.turns.values():
        state: Any = decode(blobs.get("run", turn.checkpoint.key))
        schedule = schedule_behind(turn.checkpoint, lineage)
        assert schedule.steps == turn.stop == len(state["lr"])
        assert sum(piece.stop - piece.start for piece in schedule.pieces) == turn.stop
        for step, trained_with in enumerate(zip(state["lr"], state["n"], strict=True)):
            assert tuple(schedule(step)[name] for name in ("lr", "n")) == trained_with
        assert schedule.source is not None
        legs = schedule.source.legs
        assert sum(leg.stop - leg.start for leg in legs) == turn.stop
        assert (legs[-1].member, legs[-1].turn) == turn.key
        born = {t.member for t in lineage.behind(turn.checkpoint) if t.origin is None}
        assert born == {legs[0].member}
        first: Any = decode(
            blobs.get("run", lineage.turns[legs[0].member, legs[0].turn].checkpoint.key)
        )
        assert first["born"] == state["born"]


@given(synchronous=st.booleans(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_members_now_stand_on_what_the_population_says(*, synchronous: bool, seed: int) -> None:
    result = ramet.run(Remembers(), SPACE, Chaos(synchronous), steps=12, mode="max", seed=seed)
    lineage = result.lineage()
    for member in result.population:
        assert lineage.weights(member.id) == member.checkpoint
        assert lineage.weights(member.id, 10**9) == member.checkpoint
    kinds = {copy.kind for copy in lineage.copies}
    assert kinds <= {"exploit", "success"}
    assert len(lineage.copies) == result.population.copies


def at(member: int, turn: int, step: int) -> Checkpoint:
    return Checkpoint(member=member, turn=turn, step=step, digest="d")


def ended(member: int, turn: int, step: int, score: float | None) -> TurnEnded:
    points = ((step, score),)
    return TurnEnded(
        member=member, turn=turn, trained=10 * (turn + 1), step=step, points=points, digest="d"
    )


def copied(member: int, weights: Checkpoint, kind: str = "exploit") -> Copied:
    taken = Weights(checkpoint=weights, points=())
    return Copied(member=member, source=weights.member, kind=kind, weights=taken, hparams=None)


def log(*events: Any, births: int = 3, mode: Any = "max") -> list[Any]:
    opening = RunOpened(
        name="lm",
        seed=7,
        mode=mode,
        steps=40,
        synchronous=False,
        turn_steps=10,
        keep="all",
        space=ramet.Space(lr=ramet.Uniform(0.0, 1.0)).describe(),
        strategy={},
        births=tuple(Birth(hparams={"lr": 0.1 * (id_ + 1)}) for id_ in range(births)),
    )
    return [opening, *events]


# Member 1 takes 0's weights, then 2 takes 1's; 0 goes on by itself.
FAMILY = log(
    ended(0, 0, 10, 1.0),
    ended(1, 0, 10, 0.5),
    ended(2, 0, 10, 0.2),
    copied(1, at(0, 0, 10)),
    Explored(member=1, hparams={"lr": 0.4}),
    ended(0, 1, 20, 1.5),
    ended(1, 1, 20, 3.0),
    ended(2, 1, 20, 0.3),
    copied(2, at(1, 1, 20), kind="success"),
    Explored(member=2, hparams={"lr": 0.8}),
    ended(2, 2, 30, 2.5),
)


def test_ancestors_are_the_turns_behind_weights_at_any_step() -> None:
    lineage = Lineage(FAMILY)
    assert [turn.key for turn in lineage.ancestors(2)] == [(0, 0), (1, 1), (2, 2)]
    assert [turn.edge for turn in lineage.ancestors(2)] == ["fresh", "exploit", "success"]
    assert [turn.key for turn in lineage.ancestors(2, 20)] == [(0, 0), (1, 1)]
    assert [turn.key for turn in lineage.ancestors(2, 19)] == [(2, 0)]
    assert lineage.ancestors(2, 9) == []
    assert [turn.key for turn in lineage.ancestors(0)] == [(0, 0), (0, 1)]
    with pytest.raises(UsageError, match="one of the run's, 0 to 2, but got 3"):
        lineage.ancestors(3)


def test_the_common_ancestor_is_the_latest_that_all_go_back_to() -> None:
    lineage = Lineage(FAMILY)
    common = [lineage.common_ancestor(*members) for members in ((1, 2), (0, 2), (0, 1, 2), ())]
    assert [turn and turn.key for turn in common] == [(1, 1), (0, 0), (0, 0), (0, 0)]
    assert lineage.common_ancestor(1, 2, trained=10) is None


def test_founders_are_those_whose_first_weights_survive() -> None:
    lineage = Lineage(FAMILY)
    assert lineage.founders() == {0: 3}
    assert lineage.founders(10) == {0: 2, 2: 1}
    assert lineage.founders(9) == {}


def test_a_change_paid_off_by_what_the_next_turn_gained() -> None:
    effects = {(e.member, e.turn): e for e in Lineage(FAMILY).effects()}
    assert list(effects) == [(1, 1), (2, 2)]
    first, second = effects.values()
    # What the weights were trained with before, which were another's.
    assert (first.before, first.after, first.gain) == (pytest.approx(0.1), 0.4, 2.0)
    # The others' turns of that number gained 0.5 and 0.1.
    assert first.ahead == pytest.approx(2.0 - 0.3)
    assert (second.before, second.after, second.gain) == (0.4, 0.8, -0.5)
    # Nobody else has had a turn of that number.
    assert second.ahead is None
    assert list(Lineage(FAMILY).effects("lr")) == list(effects.values())
    with pytest.raises(UnknownHyperparameter, match="'rate'"):
        list(Lineage(FAMILY).effects("rate"))


def test_weights_that_go_on_with_what_they_were_trained_with_are_no_change() -> None:
    same = log(ended(0, 0, 10, 1.0), ended(1, 0, 10, 0.5), copied(1, at(0, 0, 10)))
    taken = [*same, Explored(member=1, hparams={"lr": 0.1}), ended(1, 1, 20, 2.0)]
    assert list(Lineage(taken).effects()) == []
    # Weights alone go on with what their new member has.
    kept = [*same, ended(1, 1, 20, 2.0)]
    (effect,) = Lineage(kept).effects()
    assert (effect.before, effect.after) == (pytest.approx(0.1), pytest.approx(0.2))


def test_what_a_score_that_is_not_finite_gained_is_unknown() -> None:
    lineage = Lineage(
        log(
            ended(0, 0, 10, None),
            Explored(member=0, hparams={"lr": 0.4}),
            ended(0, 1, 20, 1.0),
            Explored(member=0, hparams={"lr": 0.5}),
        )
    )
    (effect,) = lineage.effects()
    assert (effect.gain, effect.ahead) == (None, None)


def test_a_log_must_begin_at_its_beginning() -> None:
    with pytest.raises(CorruptLog, match="must begin with RunOpened"):
        Lineage(FAMILY[1:])
    with pytest.raises(CorruptLog, match="must begin with RunOpened"):
        Lineage([])


def test_turns_are_looked_up_by_their_key_and_read_in_either_direction() -> None:
    turns = Lineage(FAMILY).turns
    keys = list(turns)
    assert [turn.key for turn in turns.values()] == keys
    assert [turn.key for turn in reversed(turns.values())] == list(reversed(turns)) == keys[::-1]
    assert all(key in turns and turns[key].key == key for key in keys)
    assert (99, 0) not in turns
    assert (0, 99) not in turns
    assert turns.get((0, 99)) is None


def test_a_turn_has_the_points_that_it_reported_whatever_they_are() -> None:
    reported: list[Any] = [((10, 0.5),), ((20, None),), (), ((35, 0.1), (40, 0.2)), ((45, 0.7),)]
    each = (
        replace(ended(0, nth, 10 * (nth + 1), None), points=its) for nth, its in enumerate(reported)
    )
    turns = Lineage(log(*each)).turns
    assert [turn.points for turn in turns.values()] == reported
    assert [turn.score for turn in turns.values()] == [0.5, None, None, 0.2, None]
    assert list(turns.each_score()) == [0.5, None, 0.1, 0.2, 0.7]


def test_turns_of_a_member_must_end_in_order() -> None:
    with pytest.raises(CorruptLog, match="turn 0 of member 0 comes behind turn 0"):
        Lineage(log(ended(0, 0, 10, 1.0), ended(0, 0, 10, 1.0)))

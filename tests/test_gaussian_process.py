"""Exploring by a model of what past turns changed, as PB2 states it."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import ramet
from ramet import (
    FIRE,
    MFPBT,
    PBT,
    Choice,
    Constant,
    GaussianProcess,
    Integer,
    LogUniform,
    Perturb,
    Resample,
    Space,
    Truncation,
    Uniform,
)
from ramet.errors import SpaceError, StrategyError
from ramet.events import AnyEvent, Birth, fold
from ramet.population import Member, PastTurn, Population
from ramet.space import Hparams
from ramet.strategies import Change
from ramet.strategies.axes import axes_of, from_unit, to_unit
from ramet.strategies.gaussian_process import _last_turns
from ramet.strategies.standard import limits_of_most
from ramet.strategies.surrogate import Kernel, Points, Surrogate, fit
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests import values

STEP = 10
SPACE = Space(lr=Uniform(0.0, 1.0), momentum=Uniform(0.0, 1.0))


def past(
    space: Space, gain: Callable[[Hparams], float], count: int, *, seed: int = 0, step: int = 0
) -> tuple[PastTurn, ...]:
    """Return turns at values that were drawn, of which each gained as much as its values say."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        hparams = space.sample(rng)
        found.append(
            PastTurn(hparams=hparams, step=step, steps=STEP, before=0.0, after=gain(hparams))
        )
    return tuple(found)


def population(
    space: Space, gain: Callable[[Hparams], float], *, turns: int = 10, members: int = 8
) -> Population:
    """Return members that have trained turns of ten steps, all from a score of 0."""
    rng = np.random.default_rng(99)
    made = [
        replace(
            values.member(id_, 0.0, hparams=space.sample(rng)),
            past=past(space, gain, turns, seed=id_),
        )
        for id_ in range(members)
    ]
    return values.population(made, space=space)


def move(
    rule: GaussianProcess, population: Population, *, members: Sequence[int] = (0,), seed: int = 0
) -> list[Hparams]:
    """Return what members that copied the last one get."""
    explorer, rng = rule.explorer(population), np.random.default_rng(seed)
    return [explorer.move(member, len(population) - 1, rng) for member in members]


def bowl(hparams: Hparams) -> float:
    """Gain most where the rate is 0.7 and the momentum 0.2."""
    lr, momentum = hparams["lr"], hparams["momentum"]
    return -((lr - 0.7) ** 2) - (momentum - 0.2) ** 2


# What PB2 does


def test_values_are_proposed_from_which_the_score_is_expected_to_rise_most() -> None:
    [found] = move(GaussianProcess(optimism=0.0), population(SPACE, bowl))

    assert found == {"lr": pytest.approx(0.7, abs=0.08), "momentum": pytest.approx(0.2, abs=0.08)}


def test_changes_count_and_not_scores() -> None:
    """High scores that a turn did not change are no reason to repeat its values."""
    turns = [
        PastTurn(hparams={"lr": lr}, step=0, steps=STEP, before=before, after=before + lr)
        for lr, before in [(0.1, 9.0), (0.3, 8.0), (0.5, 5.0), (0.7, 3.0), (0.9, 1.0)] * 3
    ]
    space = Space(lr=Uniform(0.0, 1.0))
    member = replace(values.member(0, 5.0, hparams={"lr": 0.1}), past=tuple(turns))

    [found] = move(GaussianProcess(optimism=0.0), values.population([member], space=space))

    assert float(found["lr"] or 0) > 0.8


def test_changes_are_by_the_step() -> None:
    """Turns of twice the steps that gain twice as much are no better."""

    def turn(lr: float, steps: int) -> PastTurn:
        gain = steps * (1 - abs(lr - 0.3))
        return PastTurn(hparams={"lr": lr}, step=0, steps=steps, before=0.0, after=gain)

    turns = [turn(lr, 40 if lr > 0.5 else 10) for lr in np.linspace(0, 1, 21).tolist()]
    member = replace(values.member(0, 0.0, hparams={"lr": 0.1}), past=tuple(turns))

    [found] = move(
        GaussianProcess(optimism=0.0), values.population([member], space=Space(lr=Uniform(0, 1)))
    )

    assert found["lr"] == pytest.approx(0.3, abs=0.1)


def test_the_score_that_weights_begin_with_decides_what_suits_them() -> None:
    """Low scores gain by high rates and high scores by low ones, at the same time."""
    rng = np.random.default_rng(0)
    turns = []
    for _ in range(60):
        lr, before = rng.random(2).tolist()
        gain = 1 - abs(lr - (1 - before))
        turns.append(
            PastTurn(hparams={"lr": lr}, step=0, steps=1, before=before, after=before + gain)
        )

    def proposed(score: float) -> float:
        member = replace(values.member(0, score, hparams={"lr": 0.5}), past=tuple(turns))
        space = Space(lr=Uniform(0.0, 1.0))
        [found] = move(GaussianProcess(optimism=0.0), values.population([member], space=space))
        return float(found["lr"] or 0)

    assert proposed(0.1) == pytest.approx(0.9, abs=0.12)
    assert proposed(0.9) == pytest.approx(0.1, abs=0.12)


def test_the_latest_rows_are_the_ones_that_count() -> None:
    early = past(SPACE, lambda h: -bowl(h), 60, seed=1)
    late = past(SPACE, bowl, 60, seed=2, step=500)
    member = replace(
        values.member(0, 0.0, hparams={"lr": 0.5, "momentum": 0.5}), past=(*early, *late)
    )

    [found] = move(GaussianProcess(rows=60, optimism=0.0), values.population([member], space=SPACE))

    assert found == {"lr": pytest.approx(0.7, abs=0.08), "momentum": pytest.approx(0.2, abs=0.08)}


@pytest.mark.parametrize("exploded", [-10.0, -1e6, -1e300])
def test_a_score_that_explodes_hides_no_other_change(exploded: float) -> None:
    there = population(SPACE, bowl)
    first = there[0]
    worst = replace(first.past[0], after=exploded)
    members = (replace(first, past=(worst, *first.past[1:])), *there.members[1:])
    [found] = move(GaussianProcess(optimism=0.0), replace(there, members=members))

    assert found == {"lr": pytest.approx(0.7, abs=0.1), "momentum": pytest.approx(0.2, abs=0.1)}


def test_of_more_members_than_rows_those_from_all_over_the_population_count() -> None:
    there = population(SPACE, bowl, turns=1, members=400)
    used = _last_turns(there, 100)
    ids = [member.id for member in there for turn in member.past if any(turn is it for it in used)]

    assert len(ids) == 100
    assert [sum(id_ // 100 == part for id_ in ids) for part in range(4)] == pytest.approx(
        [25] * 4, abs=2
    )


def test_members_that_are_moved_together_try_different_values() -> None:
    """What was chosen for others counts as measured, as it was predicted."""
    rule, before = GaussianProcess(), population(SPACE, lambda _: 0.0)

    together = move(rule, before, members=range(4))

    points = np.array([[h["lr"], h["momentum"]] for h in together], float)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 0.5


def test_optimism_tries_what_is_uncertain() -> None:
    """All past turns lie below 0.5, and are alike."""
    space = Space(lr=Uniform(0.0, 1.0))
    turns = tuple(
        PastTurn(hparams={"lr": lr}, step=0, steps=1, before=0.0, after=0.1 * math.sin(20 * lr))
        for lr in np.linspace(0.0, 0.5, 40).tolist()
    )
    member = replace(values.member(0, 0.0, hparams={"lr": 0.1}), past=turns)
    before = values.population([member], space=space)

    assert float(move(GaussianProcess(optimism=5.0), before)[0]["lr"] or 0) > 0.55


def test_an_unordered_choice_is_drawn_again() -> None:
    space = Space(lr=Uniform(0.0, 1.0), kind=Choice(["a", "b", "c"]))
    before = population(space, lambda h: float(h["lr"] or 0))

    assert {move(GaussianProcess(), before, seed=seed)[0]["kind"] for seed in range(20)} == {
        "a",
        "b",
        "c",
    }


def test_a_hyperparameter_with_a_rule_of_its_own_follows_that() -> None:
    space = Space(lr=Uniform(0.0, 1.0), decay=Uniform(1.0, 100.0, explore=Perturb((2.0,))))
    before = population(space, lambda h: float(h["lr"] or 0))

    [found] = move(GaussianProcess(optimism=0.0), before)

    assert found["decay"] == min(2 * float(before[7].hparams["decay"] or 0), 100.0)
    assert float(found["lr"] or 0) > 0.9


def test_members_move_by_the_other_rule_until_there_are_enough_turns() -> None:
    before = population(SPACE, bowl, turns=0)
    here = before[7].hparams

    [found] = move(GaussianProcess(otherwise=Perturb((1.0,))), before)

    assert found == here


def test_turns_without_a_score_at_either_end_are_left_out() -> None:
    def bare(turn: PastTurn) -> PastTurn:
        return replace(turn, before=None) if turn.step % 2 else replace(turn, after=None)

    turns = tuple(
        bare(PastTurn(hparams={"lr": 0.5, "momentum": 0.5}, step=n, steps=1, before=0.0, after=9.0))
        for n in range(10)
    )
    member = replace(values.member(0, 0.0, hparams={"lr": 0.5, "momentum": 0.5}), past=turns)

    [found] = move(
        GaussianProcess(otherwise=Perturb((1.0,))), values.population([member], space=SPACE)
    )

    assert found == member.hparams


def test_values_that_diverged_are_avoided() -> None:
    space = Space(lr=Uniform(0.0, 1.0))

    def gain(hparams: Hparams) -> float:
        lr = float(hparams["lr"] or 0)
        return lr if lr < 0.6 else math.nan

    [found] = move(GaussianProcess(optimism=0.0), population(space, gain))

    assert float(found["lr"] or 0) < 0.65


def test_where_is_kept() -> None:
    space = Space(
        lr=Uniform(0.0, 1.0),
        momentum=Uniform(0.0, 1.0),
        where=lambda h: h["lr"] + h["momentum"] < 0.5,
    )

    [found] = move(GaussianProcess(optimism=0.0), population(space, bowl))

    assert space.contains(found)
    assert float(found["lr"] or 0) > 0.35


@pytest.mark.parametrize("most", [1.0, 4.5e307, 6e307, 1e308, sys.float_info.max])
def test_far_scores_are_told_apart_up_to_the_largest_float(most: float) -> None:
    """Without a warning, which is an error in these tests."""
    near = np.array([0.0, 0.25, 0.5, 0.75, 1.0])

    assert limits_of_most(near * most) == pytest.approx((-1.25 * most, 2.25 * most))
    low, high = limits_of_most(np.array([*near / 16 * most, most]))
    assert -0.1 < low / most < high / most < 0.2
    assert limits_of_most(np.array([-most, most])) == pytest.approx((-3.5 * most, 3.5 * most))


# Laws


@settings(max_examples=40, deadline=None)
@given(
    space=values.spaces | values.rich_spaces(),
    gains=st.lists(values.scores, min_size=12, max_size=12),
    seed=st.integers(0, 99),
)
def test_a_space_is_closed_under_it_whatever_the_scores(
    space: Space, gains: list[float | None], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    turns = tuple(
        PastTurn(
            hparams=space.sample(rng),
            step=place,
            steps=place + 1,
            before=gains[place - 1] if math.isfinite(gains[place - 1] or 0.0) else None,
            after=gain if gain is None or math.isfinite(gain) else math.nan,
        )
        for place, gain in enumerate(gains)
    )
    members: list[Member] = [
        replace(values.member(id_, 0.5, hparams=space.sample(rng)), past=turns) for id_ in range(3)
    ]

    for found in move(
        GaussianProcess(), values.population(members, space=space), members=(0, 1), seed=seed
    ):
        assert space.problem(found) is None


def test_arrays_that_move_together_keep_their_ratio() -> None:
    space = Space(lr=ramet.Array(LogUniform(1e-6, 1e6), 2, together=True), decay=Uniform(0.0, 1.0))
    members = population(space, lambda hparams: float(hparams["decay"] or 0.0))

    for found in move(GaussianProcess(), members):
        ratios = [
            round(float(it["lr[1]"]) / float(it["lr[0]"]), 9)
            for it in (found, *(member.hparams for member in members))
        ]
        assert ratios[0] in ratios[1:]


@given(domain=values.domains, data=st.data())
def test_a_value_is_found_again_at_its_place(domain: Any, data: st.DataObject) -> None:
    if not axes_of(Space(x=domain)):
        return
    place = data.draw(st.floats(0.0, 1.0))
    value = from_unit(domain, place)

    assert domain.contains(value)
    assert 0.0 <= to_unit(domain, value) <= 1.0


@pytest.mark.parametrize(
    "domain",
    [
        Uniform(-2.0, 3.0),
        LogUniform(1e-5, 10.0),
        Integer(0, 9),
        Integer(1, 1024, log=True),
        Choice([1, 2, 8, 32], ordered=True),
    ],
)
def test_places_keep_the_order_of_values(domain: Any) -> None:
    rng = np.random.default_rng(0)
    drawn = sorted(domain.sample(rng) for _ in range(50))
    places = [to_unit(domain, value) for value in drawn]

    assert places == sorted(places)
    again = [from_unit(domain, place) for place in places]
    assert again == pytest.approx(drawn)


# The process itself


def test_predictions_are_those_of_the_formula() -> None:
    """PB2's kernel (section 3 of the paper; TV_SquaredExp in its authors' code).

    A squared exponential of the inputs times (1 - epsilon) to the power of half the difference in
    time. What is ours: the error is a multiple of the variance, which is the likeliest one.
    """
    rng = np.random.default_rng(0)
    points, others = (
        Points(rng.random(30), rng.random((30, 2))),
        Points(rng.random(5), rng.random((5, 2))),
    )
    measured = rng.standard_normal(30)
    kernel = Kernel(length=0.5, noise=0.2, forgetting=0.3)

    def covariance(some: Points, others: Points) -> np.ndarray:
        squares = ((some.inputs[:, None] - others.inputs) ** 2).sum(axis=2)
        near: np.ndarray = np.exp(-squares / (2 * 0.5**2))
        return near * 0.7 ** (np.abs(some.times[:, None] - others.times) / 2)

    whole = covariance(points, points) + 0.2 * np.eye(30)
    variance = measured @ np.linalg.solve(whole, measured) / 30
    cross = covariance(others, points)
    mean = cross @ np.linalg.solve(whole, measured)
    deviation = np.sqrt(variance * (1 - (cross * np.linalg.solve(whole, cross.T).T).sum(axis=1)))

    found = Surrogate(kernel, points, measured).predict(others)

    np.testing.assert_allclose(found[0], mean, rtol=1e-8)
    np.testing.assert_allclose(found[1], deviation, rtol=1e-8)


def test_a_point_that_is_added_changes_no_mean_and_makes_its_neighbourhood_certain() -> None:
    rng = np.random.default_rng(0)
    points = Points(rng.random(30), rng.random((30, 2)))
    process = Surrogate(Kernel(noise=0.01), points, rng.standard_normal(30))
    new = Points(np.array([0.5]), np.array([[3.0, 3.0]]))
    mean, deviation = process.predict(new)

    process.add(new)

    assert process.predict(new)[0] == pytest.approx(mean)
    assert process.predict(new)[1] < 0.2 * deviation


def test_the_likeliest_kernel_is_smooth_for_smooth_values_and_noisy_for_noise() -> None:
    rng = np.random.default_rng(0)
    points = Points(np.zeros(60), rng.random((60, 1)))

    smooth = fit(points, np.sin(3 * points.inputs[:, 0]))
    noise = fit(points, rng.standard_normal(60))

    assert smooth.kernel.noise == 0.01
    assert noise.kernel.noise >= 1.0


def test_older_values_count_less_where_the_best_ones_change() -> None:
    rng = np.random.default_rng(0)
    points = Points(np.repeat([0.0, 1.0], 40), rng.random((80, 1)))
    signs = np.where(points.times > 0, 1.0, -1.0)

    changing = fit(points, signs * np.sin(6 * points.inputs[:, 0]))
    lasting = fit(points, np.sin(6 * points.inputs[:, 0]))

    assert changing.kernel.forgetting == 0.5
    assert lasting.kernel.forgetting == 0.0


# What a run remembers


def test_a_run_remembers_as_many_turns_as_the_rule_looks_at() -> None:
    pbt = PBT(
        population=4, turn_steps=4, exploit=Truncation(0.25), explore=GaussianProcess(rows=10)
    )

    result = ramet.run(Quadratic(dim=5), QUADRATIC_SPACE, pbt, steps=24, mode="max", seed=0)

    assert pbt.remember == 3
    assert [len(member.past) for member in result.population] == [3] * 4
    for member in result.population:
        last = member.past[-1]
        assert (last.step, last.steps, last.after) == (20, 4, member.curve.scores[-1])
        assert last.hparams == member.hparams
        assert last.before == member.curve.scores[-2]
    assert fold(result.events) == result.population


def test_a_turn_that_began_with_weights_without_a_score_says_so() -> None:
    births = [Birth(hparams={"lr": 0.5})]
    log: list[AnyEvent] = [replace(values.opening(births=births), remember=3)]
    unscored = replace(values.turn_ended(fold(log)[0]), points=())
    for turn in (values.turn_ended(fold(log)[0], 0.5), unscored):
        step = fold(log)[0].step
        points = tuple((step + values.TURN_STEPS, score) for _, score in turn.points)
        log.append(
            replace(
                turn,
                turn=fold(log)[0].turn,
                trained=step + values.TURN_STEPS,
                step=step + values.TURN_STEPS,
                points=points,
            )
        )
    log.append(values.turn_ended(fold(log)[0], None))

    ended = [(turn.step, turn.before, turn.after) for turn in fold(log)[0].past]

    assert ended[:2] == [(0, None, 0.5), (5, 0.5, None)]
    assert ended[2][:2] == (10, None)
    assert math.isnan(ended[2][2] or 0.0)


def test_other_runs_remember_no_turn() -> None:
    pbt = PBT(population=5, turn_steps=4)

    result = ramet.run(Quadratic(dim=5), QUADRATIC_SPACE, pbt, steps=8, mode="max", seed=0)

    assert all(member.past == () for member in result.population)


def test_past_turns_are_shown_with_scores_as_they_were_reported() -> None:
    class Loss(Quadratic):
        __slots__ = ()

        def evaluate(self, state: Any) -> float:
            return -super().evaluate(state)

    pbt = PBT(
        population=4, turn_steps=4, exploit=Truncation(0.25), explore=GaussianProcess(rows=10)
    )
    high, low = (
        ramet.run(task, QUADRATIC_SPACE, pbt, steps=24, mode=mode, seed=0)
        for task, mode in [(Quadratic(dim=5), "max"), (Loss(dim=5), "min")]
    )

    assert [m.hparams for m in low.population] == [m.hparams for m in high.population]
    for one, other in zip(high.population, low.population, strict=True):
        assert [turn.after for turn in other.past] == [-(turn.after or 0.0) for turn in one.past]
    assert fold(low.events) == low.population


@pytest.mark.parametrize(
    "strategy",
    [
        PBT(population=8, turn_steps=8, explore=GaussianProcess()),
        PBT(population=8, turn_steps=8, explore=GaussianProcess(), synchronous=True),
        PBT(population=8, turn_steps=8, exploit=None, explore=GaussianProcess()),
        FIRE.for_workers(6, turn_steps=8, evaluate_every=1, explore=GaussianProcess()),
        MFPBT(population=8, turn_steps=8, intervals=(1, 2), explore=GaussianProcess()),
    ],
)
def test_it_is_a_rule_for_any_strategy_that_explores(strategy: Any) -> None:
    result = ramet.run(Quadratic(dim=5), QUADRATIC_SPACE, strategy, steps=48, mode="max", seed=0)

    moved = {member.hparams["lr"] for member in result.population}
    assert len(moved) > 2
    assert strategy.remember == math.ceil(200 / len(result.population))


# Settings


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({"rows": 3}, "rows must be a whole number, at least 4"),
        ({"optimism": -1.0}, "optimism must be a number of standard deviations"),
        ({"optimism": math.inf}, "optimism must be a number of standard deviations"),
        ({"otherwise": Perturb}, "otherwise must be a rule"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], law: str) -> None:
    with pytest.raises(StrategyError, match=law):
        GaussianProcess(**settings)


def test_it_is_no_rule_for_one_hyperparameter() -> None:
    with pytest.raises(SpaceError, match="explore= must be a rule such as Perturb"):
        Space(lr=Uniform(0.0, 1.0, explore=GaussianProcess()))
    with pytest.raises(StrategyError, match="otherwise must be a rule that moves one"):
        Resample(0.25, otherwise=GaussianProcess())


def test_its_class_is_no_rule() -> None:
    with pytest.raises(StrategyError, match="explore must be a rule such as Perturb"):
        PBT(population=8, explore=GaussianProcess)


def test_constants_stay() -> None:
    space = Space(lr=Uniform(0.0, 1.0), n=Constant(3))

    [found] = move(GaussianProcess(), population(space, lambda h: float(h["lr"] or 0)))

    assert found["n"] == 3


def test_the_change_is_what_the_strategy_yields() -> None:
    before = population(SPACE, bowl)
    scored = values.population(
        [replace(member, curve=values.member(0, float(member.id)).curve) for member in before],
        space=SPACE,
    )
    pbt = PBT(
        population=8, turn_steps=5, exploit=Truncation(0.25), explore=GaussianProcess(optimism=0.0)
    )

    changes = [a for a in values.decided(pbt, scored) if isinstance(a, Change)]

    assert [change.member for change in changes] == [0, 1]
    assert all(SPACE.contains(change.hparams) for change in changes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [("many", "rows must be a whole number"), (-5, "at least 0"), (None, "have rows")],
)
def test_a_rule_for_all_that_says_no_number_of_rows_is_refused(rows: Any, said: str) -> None:
    class Together:
        def explorer(self, population: Population) -> Any:
            raise AssertionError(population)

    rule: Any = Together()
    if rows is not None:
        rule.rows = rows
    with pytest.raises(StrategyError, match=said):
        ramet.PBT(population=8, explore=rule)


@pytest.mark.parametrize("remember", [-1, 2.5, "x", True])
def test_a_strategy_that_remembers_no_number_of_turns_is_refused_before_it_is_recorded(
    remember: Any, tmp_path: Path
) -> None:
    class Own(ramet.RandomSearch):
        @property
        def remember(self) -> Any:
            return remember

    with pytest.raises(StrategyError, match="remember must be a whole number, at least 0"):
        ramet.open(
            tmp_path / "runs.db", space=SPACE, strategy=Own(population=2, turn_steps=2), steps=4,
            mode="max", seed=0,
        )  # fmt: skip

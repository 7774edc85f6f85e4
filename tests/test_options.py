"""Unordered choices that are learned about (PB2-Mix, arXiv 2106.15883), against its formulas."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ramet import Choice, GaussianProcess, LogUniform, Population, Space, Uniform
from ramet.errors import StrategyError
from ramet.population import PastTurn
from ramet.space import Hparams
from ramet.strategies import bandit
from ramet.strategies.surrogate import Kernel, Points, Surrogate
from tests import values

STEP, MEMBERS = 10, 8
SPACE = Space(lr=Uniform(0.0, 1.0), kind=Choice(["a", "b", "c"]))

weights = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=8)


# EXP3.M


def cap_by_bisection(weights: Sequence[float], limit: float) -> float:
    """Solve the paper's equation: cap / (sum of the lower of cap and weight) = limit."""
    low, high = 0.0, max(weights)
    for _ in range(200):
        middle = (low + high) / 2
        total = sum(min(middle, weight) for weight in weights)
        low, high = (middle, high) if middle < limit * total else (low, middle)
    return high


def chances_by_the_paper(weights: Sequence[float], gamma: float, size: int) -> list[float]:
    """Return size times each probability, as EXP3.M has them."""
    options = len(weights)
    limit = (1 / size - gamma / options) / (1 - gamma)
    if size < options and max(weights) >= limit * sum(weights):
        cap = cap_by_bisection(weights, limit)
        weights = [min(weight, cap) for weight in weights]
    total = sum(weights)
    return [size * ((1 - gamma) * weight / total + gamma / options) for weight in weights]


@given(weights, st.floats(0.01, 0.9), st.integers(1, 10))
@example([1.0, 1.0, 1.0, 2.0, 3e4, 5e5, 1.9e-05, 7.6e-06], 0.25, 7)
def test_chances_are_those_of_the_papers_formula(
    weights: list[float], gamma: float, size: int
) -> None:
    found = bandit.share(weights, gamma, size)

    assert [size * each for each in found.chances] == pytest.approx(
        chances_by_the_paper(weights, gamma, size), rel=1e-6
    )


@given(weights, st.floats(0.01, 0.9), st.integers(1, 10))
def test_chances_are_a_distribution_and_no_option_is_expected_more_than_once(
    weights: list[float], gamma: float, size: int
) -> None:
    found = bandit.share(weights, gamma, size)

    assert sum(found.chances) == pytest.approx(1.0)
    assert min(found.chances) >= gamma / len(weights) * (1 - 1e-9)
    if size < len(weights):
        assert size * max(found.chances) <= 1 + 1e-9
        for option in found.capped:
            assert size * found.chances[option] == pytest.approx(1.0)


def learn_by_the_paper(
    rounds: Sequence[Sequence[tuple[int, float]]], options: int, horizon: int
) -> list[float]:
    """Return the weights after some rounds, in the words of the paper, scaled to a sum of 1."""
    learned = [1.0] * options
    for choices in rounds:
        size = len(choices)
        gamma = 0.2
        if size < options:
            gamma = min(
                1.0,
                math.sqrt(options * math.log(options / size) / ((math.e - 1) * size * horizon)),
            )
        p = chances_by_the_paper(learned, gamma, size) if gamma < 1 else [size / options] * options
        total = sum(learned)
        for option in range(options):
            estimate = sum(reward / p[option] for its, reward in choices if its == option)
            capped = size < options and p[option] > 1 - 1e-9
            power = 0.0 if capped else size * gamma * estimate / options
            learned[option] = learned[option] * math.exp(power) + math.e / horizon / options * total
    return [weight / sum(learned) for weight in learned]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 1.0)), min_size=1, max_size=6),
        max_size=12,
    ),
    st.integers(5, 200),
)
def test_what_is_learned_is_what_the_papers_update_leads_to(
    rounds: list[list[tuple[int, float]]], horizon: int
) -> None:
    found = bandit.learn([[bandit.Choice(*each) for each in its] for its in rounds], 4, horizon)
    size = len(rounds[-1]) if rounds else 1
    gamma = bandit.explored(4, size, horizon)
    learned = learn_by_the_paper(rounds, 4, horizon)

    assert found == pytest.approx([(1 - gamma) * each + gamma / 4 for each in learned], rel=1e-6)


def chosen(rounds: int, reward: Callable[[int, int], float], options: int = 3) -> list[float]:
    """Return what is learned from choices that the bandit itself made."""
    rng, past = np.random.default_rng(0), list[list[bandit.Choice]]()
    for number in range(rounds):
        chances = bandit.learn(past, options, 100)
        drawn = rng.choice(options, size=4, p=np.array(chances) / sum(chances))
        past.append([bandit.Choice(int(each), reward(int(each), number)) for each in drawn])
    return bandit.learn(past, options, 100)


def test_the_better_option_becomes_the_likeliest() -> None:
    chances = chosen(40, lambda option, _: float(option == 2))

    assert chances[2] > 0.6
    assert min(chances) >= 0.2 / 3


def test_an_option_that_is_better_only_later_takes_over() -> None:
    early = chosen(50, lambda option, number: float(option == (0 if number < 50 else 1)))
    late = chosen(100, lambda option, number: float(option == (0 if number < 50 else 1)))

    assert early[0] > 0.6
    assert late[1] > 0.6


def test_thousands_of_choices_a_round_overflow_nothing() -> None:
    rounds = [[bandit.Choice(0, 1.0)] * 5_000] * 3

    chances = bandit.learn(rounds, 2, 10)

    assert sum(chances) == pytest.approx(1.0)
    assert chances[0] > chances[1]


# The kernel


def test_predictions_are_those_of_cocabos_kernel() -> None:
    rng = np.random.default_rng(0)

    def draw(count: int) -> Points:
        options = rng.integers(3, size=(count, 2))
        return Points(rng.random(count), rng.random((count, 2)), options)

    points, others = draw(30), draw(5)
    measured = rng.standard_normal(30)
    kernel = Kernel(length=0.5, noise=0.2, forgetting=0.3, mix=0.6)

    def covariance(some: Points, others: Points) -> np.ndarray:
        found = np.zeros((len(some.times), len(others.times)))
        assert some.options is not None
        assert others.options is not None
        for i in range(len(some.times)):
            for j in range(len(others.times)):
                squares = ((some.inputs[i] - others.inputs[j]) ** 2).sum()
                numbers = math.exp(-squares / (2 * 0.5**2))
                same = sum(some.options[i] == others.options[j]) / 2
                age = abs(some.times[i] - others.times[j])
                mixed = 0.4 * (numbers + same) / 2 + 0.6 * numbers * same
                found[i, j] = mixed * 0.7 ** (age / 2)
        return found

    whole = covariance(points, points) + 0.2 * np.eye(30)
    variance = measured @ np.linalg.solve(whole, measured) / 30
    cross = covariance(others, points)
    mean = cross @ np.linalg.solve(whole, measured)
    deviation = np.sqrt(variance * (1 - (cross * np.linalg.solve(whole, cross.T).T).sum(axis=1)))

    found = Surrogate(kernel, points, measured).predict(others)

    np.testing.assert_allclose(found[0], mean, rtol=1e-8)
    np.testing.assert_allclose(found[1], deviation, rtol=1e-8)


# The rule

Gain = Callable[[Hparams, int], float]


def population(gain: Gain, *, rounds: int = 12, space: Space = SPACE) -> Population:
    """Return members that have trained turns of ten steps, each of which gained so much."""
    rng = np.random.default_rng(9)
    members = []
    for id_ in range(MEMBERS):
        past = []
        for number in range(rounds):
            hparams = space.sample(rng)
            after = gain(hparams, number)
            step = number * STEP
            past.append(PastTurn(hparams=hparams, step=step, steps=STEP, before=0.0, after=after))
        one = values.member(id_, 0.0, hparams=space.sample(rng))
        members.append(replace(one, past=tuple(past), step=rounds * STEP))
    return values.population(members, space=space, steps=40 * STEP)


def moved(rule: GaussianProcess, there: Population, count: int = 60) -> list[Hparams]:
    """Return what members get that explore one after the other."""
    explorer, rng = rule.explorer(there), np.random.default_rng(0)
    return [explorer.move(0, MEMBERS - 1, rng) for _ in range(count)]


BANDIT = GaussianProcess(choices="bandit", optimism=0.0)


def test_the_option_that_turns_gained_by_is_drawn_most() -> None:
    there = population(lambda hparams, _: float(hparams["kind"] == "b"))

    kinds = Counter(each["kind"] for each in moved(BANDIT, there))
    redrawn = Counter(each["kind"] for each in moved(GaussianProcess(optimism=0.0), there))

    assert kinds["b"] > 30
    assert set(kinds) == {"a", "b", "c"}
    assert redrawn["b"] < 25


def test_an_option_that_gained_only_lately_is_drawn_most() -> None:
    there = population(
        lambda hparams, number: float(hparams["kind"] == ("a" if number < 12 else "c")), rounds=24
    )

    kinds = Counter(each["kind"] for each in moved(BANDIT, there))

    assert kinds.most_common(1)[0][0] == "c"


def test_the_numbers_are_those_that_suit_the_option() -> None:
    """The best rate is 0.1 with one option, and 0.9 with another."""
    best = {"a": 0.1, "b": 0.5, "c": 0.9}
    there = population(lambda hparams, _: -((hparams["lr"] - best[str(hparams["kind"])]) ** 2))

    found = moved(BANDIT, there)

    for kind, rate in best.items():
        rates = [each["lr"] for each in found if each["kind"] == kind]
        assert np.median(np.array(rates, float)) == pytest.approx(rate, abs=0.15)


def test_a_space_of_options_alone_is_learned_about() -> None:
    space = Space(kind=Choice(["a", "b"]), other=Choice([1, 1.0, True]))
    there = population(
        lambda hparams, _: float(hparams["kind"] == "b") + float(hparams["other"] is True),
        space=space,
    )

    found = Counter((each["kind"], repr(each["other"])) for each in moved(BANDIT, there))

    assert found.most_common(1)[0][0] == ("b", "True")


def test_an_option_with_a_rule_of_its_own_follows_that() -> None:
    class Stay:
        def move(self, domain: object, value: object, rng: object) -> object:
            del domain, rng
            return value

    space = Space(lr=Uniform(0.0, 1.0), kind=Choice(["a", "b"], explore=Stay()))
    there = population(lambda hparams, _: float(hparams["kind"] == "b"), space=space)

    assert {each["kind"] for each in moved(BANDIT, there)} == {there[MEMBERS - 1].hparams["kind"]}


@given(
    gains=st.lists(
        values.scores.map(lambda score: 0.0 if score is None else score), min_size=4, max_size=9
    ),
    seed=st.integers(0, 99),
)
def test_a_space_is_closed_under_it_whatever_the_scores(gains: list[float], seed: int) -> None:
    space = Space(
        lr=LogUniform(1e-4, 1.0),
        kind=Choice(["a", "b", "c"]),
        where=lambda hparams: hparams["kind"] != "c" or hparams["lr"] < 0.1,
    )
    there = population(lambda hparams, number: gains[number % len(gains)], rounds=2, space=space)
    [one], [again] = (
        [BANDIT.explorer(there).move(0, 1, np.random.default_rng(seed))] for _ in range(2)
    )

    assert space.problem(one) is None
    assert one == again


def test_choices_are_redrawn_or_learned_about() -> None:
    with pytest.raises(StrategyError, match="choices must be 'redraw' or 'bandit', but got 'exp3'"):
        GaussianProcess(choices="exp3")

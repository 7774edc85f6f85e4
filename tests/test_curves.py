"""Two learning curves, compared."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ramet.curves import Smoother, best_score_diff, binomial_test, dominates, overlap, smooth
from ramet.errors import ScoreError

Pair = tuple[list[float], list[float]]
Comparison = Callable[..., Any]


def raw(scores: np.ndarray) -> np.ndarray:
    """A smoother that leaves curves as they are."""
    return scores


scores = st.floats(-10, 10, width=16)
flat = st.builds(lambda score, length: [score] * length, scores, st.integers(1, 9))
rising = st.builds(
    lambda start, rises: list(np.cumsum([start, *rises])),
    scores,
    st.lists(st.floats(0, 4, width=16), max_size=20),
)
tangled = st.lists(scores, min_size=1, max_size=20)
lone = st.lists(scores, min_size=1, max_size=1)
curve = st.one_of(tangled, rising, flat, lone)


@st.composite
def nested(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """A curve, and one that is part of it."""
    whole = draw(tangled)
    start = draw(st.integers(0, len(whole) - 1))
    return whole, whole[start : draw(st.integers(start + 1, len(whole)))]


@st.composite
def separated(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """A curve, and one whose scores are all lower."""
    upper, lower = draw(curve), draw(curve)
    gap = draw(st.floats(0.125, 20, width=16))
    return list(np.array(upper) - min(upper) + max(lower) + gap), lower


pairs = st.one_of(st.tuples(curve, curve), nested(), separated())
smoothers = st.sampled_from([smooth, raw])


@given(pairs, smoothers)
def test_overlap_begins_where_the_lower_start_first_reaches_the_higher(
    pair: Pair, smoother: Smoother
) -> None:
    a, b = pair
    smooth_a, smooth_b = smoother(np.array(a)), smoother(np.array(b))
    found = overlap(a, b, smoother=smoother)
    if found is None:
        assert max(smooth_a) < smooth_b[0] or max(smooth_b) < smooth_a[0]
        return
    assert 0 in (found.first, found.second)
    assert all(smooth_a[: found.first] < smooth_b[0])
    assert all(smooth_b[: found.second] < smooth_a[0])
    assert smooth_a[found.first] >= smooth_b[0] or smooth_b[found.second] >= smooth_a[0]
    assert found.length == min(len(a) - found.first, len(b) - found.second)


@given(pairs, smoothers)
def test_swapping_the_curves_swaps_the_overlap(pair: Pair, smoother: Smoother) -> None:
    a, b = pair
    found, swapped = overlap(a, b, smoother=smoother), overlap(b, a, smoother=smoother)
    assert (found is None) == (swapped is None)
    if found is not None:
        assert swapped == (found.second, found.first, found.length)


@given(pairs, smoothers)
def test_swapping_the_curves_changes_the_sign(pair: Pair, smoother: Smoother) -> None:
    a, b = pair
    assert best_score_diff(a, b, smoother=smoother) == -best_score_diff(b, a, smoother=smoother)


@given(curve, smoothers)
def test_no_curve_improves_more_than_itself(curve: list[float], smoother: Smoother) -> None:
    assert best_score_diff(curve, curve, smoother=smoother) == 0


@given(pairs)
def test_the_best_raw_scores_of_the_sections_are_what_is_compared(pair: Pair) -> None:
    a, b = pair
    found = overlap(a, b)
    if found is not None:
        first, second, length = found
        expected = max(a[first : first + length]) - max(b[second : second + length])
        assert best_score_diff(a, b) == expected


def lead(a: np.ndarray, b: np.ndarray) -> float:
    """The difference of two raw curves, where they overlap; nothing otherwise."""
    if overlap(a, b, smoother=raw) is None:
        return 0.0
    return best_score_diff(a, b, smoother=raw)


@given(separated(), st.floats(0, 1))
def test_a_curve_above_leads_by_no_less_than_when_lowered_by_any_depth(
    pair: Pair, part: float
) -> None:
    upper, lower = np.array(pair[0]), np.array(pair[1])
    if overlap(upper, lower) is not None:
        return
    low, high = min(upper) - max(lower), min(upper) - min(lower)
    depth = low + part * (high - low)
    smoothed = {lower.tobytes(): smooth(lower), (upper - depth).tobytes(): smooth(upper) - depth}
    known: dict[str, Any] = {"smoother": lambda curve: smoothed[curve.tobytes()]}
    if overlap(upper - depth, lower, **known) is not None:
        lowered = best_score_diff(upper - depth, lower, **known)
        assert best_score_diff(upper, lower) >= lowered - 1e-9


@given(separated())
def test_a_curve_above_counts_what_it_leads_by_when_lowered_the_best_way(pair: Pair) -> None:
    upper, lower = np.array(pair[0]), np.array(pair[1])
    if overlap(upper, lower, smoother=raw) is not None:
        return
    low, high = min(upper) - max(lower), min(upper) - min(lower)
    # Sections change where a point of one curve meets the start of the other.
    changes = [*(upper - lower[0]), *(upper[0] - lower), low, high]
    depths = sorted({float(depth) for depth in changes if low <= depth <= high})
    between = [(a + b) / 2 for a, b in pairwise(depths)]
    just_behind = [depth + 1e-9 for depth in depths if depth + 1e-9 <= high]
    leads = [lead(upper - depth, lower) for depth in (*depths, *between, *just_behind)]
    found = best_score_diff(upper, lower, smoother=raw)
    assert found == pytest.approx(max(0.0, *leads), abs=1e-7)


def test_a_flat_curve_below_is_worse_than_one_that_rises_and_no_worse_than_another() -> None:
    rising = [10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    assert best_score_diff(rising, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) > 0
    assert best_score_diff([9.0] * 6, [0.0, 1.0, 2.0, 3.0]) == 0
    assert best_score_diff([0.0, 1.0, 2.0, 3.0], [9.0] * 6) == 0


def test_curves_that_neither_overlap_nor_are_apart_are_equal() -> None:
    a, b = [0.0, 5.0, 0.0], [1.0, 6.0, 7.0]

    def lowered(scores: np.ndarray) -> np.ndarray:
        return scores - 10 if scores[0] == 0 else scores

    assert overlap(a, b, smoother=lowered) is None
    assert best_score_diff(a, b, smoother=lowered) == 0
    assert not dominates(b, a, smoother=lowered)


@given(pairs, smoothers)
def test_the_binomial_test_is_that_of_the_points_behind_the_first(
    pair: Pair, smoother: Smoother
) -> None:
    a, b = pair
    found = overlap(a, b, smoother=smoother)
    p = binomial_test(a, b, smoother=smoother)
    if found is None:
        assert p is None
        return
    trials = found.length - 1
    won = sum(a[found.first + place] > b[found.second + place] for place in range(1, found.length))
    expected = binomtest(won, trials, alternative="greater").pvalue if trials else 1.0
    assert p == pytest.approx(expected, rel=1e-12)


@given(pairs, smoothers)
def test_to_dominate_is_to_be_above_without_any_overlap(pair: Pair, smoother: Smoother) -> None:
    a, b = pair
    apart = overlap(a, b, smoother=smoother) is None
    assert dominates(a, b, smoother=smoother) == (apart and min(a) > max(b))


def test_ties_count_against_the_first() -> None:
    assert binomial_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], smoother=raw) == 1.0


@pytest.mark.parametrize("function", [best_score_diff, binomial_test, overlap])
def test_what_is_not_finite_counts_as_the_lowest_in_either_curve(function: Comparison) -> None:
    a, b = [1.0, math.nan, 3.0, math.inf, 6.0], [0.5, 1.5, 2.5, -math.inf]
    assert function(a, b) == function([1.0, 0.5, 3.0, 0.5, 6.0], [0.5, 1.5, 2.5, 0.5])


@pytest.mark.parametrize("function", [best_score_diff, binomial_test, overlap, dominates])
def test_curves_without_any_finite_score_are_flat_and_equal(function: Comparison) -> None:
    nothing = [math.nan, math.nan]
    assert function(nothing, nothing) == function([0.0, 0.0], [0.0, 0.0])


@pytest.mark.parametrize(
    "smoother", [lambda curve: curve[:-1], lambda curve: curve * math.nan], ids=["short", "nan"]
)
def test_a_smoother_that_loses_points_is_refused(smoother: Smoother) -> None:
    with pytest.raises(ScoreError, match="a smoother must return a finite number for each score"):
        overlap([1.0, 2.0], [1.0, 3.0], smoother=smoother)


def test_a_smoother_may_work_in_place() -> None:
    curve = np.array([1.0, 2.0, 4.0])

    def shifts(scores: np.ndarray) -> np.ndarray:
        scores -= 1.0
        return scores

    best_score_diff(curve, curve + 1, smoother=shifts)
    assert curve.tolist() == [1.0, 2.0, 4.0]


def test_the_largest_scores_are_told_apart_by_numbers() -> None:
    assert best_score_diff([1e308] * 2, [-1e308] * 2) == 0
    assert best_score_diff([-1e308, 1e308], [0.0, 1.0]) > 1e307


@pytest.mark.parametrize("curve", [[], [[1.0, 2.0]], 3.0])
def test_what_is_not_a_curve_is_refused(curve: Any) -> None:
    with pytest.raises(ScoreError, match="a row of at least one score"):
        best_score_diff(curve, [1.0])

"""Kinds of averages, and which of a state's parts are averaged."""

from typing import Any

import numpy as np
import pytest

import ramet
from ramet.averaging import check_parts, is_averaged
from ramet.errors import StateError


def run_average(average: Any, values: list[float]) -> float:
    mean = 0.0
    for t, value in enumerate(values, 1):
        mean += average.share(t) * (value - mean)
    return mean


def test_power_0_is_the_plain_mean() -> None:
    assert run_average(ramet.PolynomialAverage(power=0), [1.0, 2.0, 6.0]) == pytest.approx(3.0)


@pytest.mark.parametrize("power", [1, 4, 8])
def test_weights_count_about_by_a_power_of_their_step(power: int) -> None:
    average, steps = ramet.PolynomialAverage(power=power), 1_000
    half = steps * 0.5 ** (1 / (power + 1))
    assert run_average(average, [float(t > half) for t in range(1, steps + 1)]) == pytest.approx(
        0.5, abs=0.01
    )


def test_an_exponential_average_has_no_bias_towards_the_first_weights() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    weights = 0.9 ** np.arange(len(values))[::-1]
    expected = float(weights @ values / weights.sum())
    assert run_average(ramet.ExponentialAverage(decay=0.9), values) == pytest.approx(expected)


@pytest.mark.parametrize("average", [ramet.PolynomialAverage(8), ramet.ExponentialAverage(0.999)])
def test_the_first_update_takes_the_weights_as_they_are(average: Any) -> None:
    assert average.share(1) == 1.0


@pytest.mark.parametrize("power", [-1, float("nan"), float("inf"), "8", True, None])
def test_powers_that_make_no_sense_are_refused(power: Any) -> None:
    with pytest.raises(StateError, match=r"must be a number from 0 on, but got .*; 8 is a good"):
        ramet.PolynomialAverage(power=power)


@pytest.mark.parametrize("decay", [0, 1, 1.5, float("nan"), "0.9", True])
def test_decays_that_make_no_sense_are_refused(decay: Any) -> None:
    with pytest.raises(StateError, match=r"between 0 and 1, both excluded, but got .*0\.999"):
        ramet.ExponentialAverage(decay=decay)


@pytest.mark.parametrize("of", [(), "", ("a", ""), ["a"], 3, ("a", 1)])
def test_names_of_parts_that_make_no_sense_are_refused(of: Any) -> None:
    with pytest.raises(StateError, match=r"write of='params', for instance"):
        ramet.PolynomialAverage(of=of)


def test_scored_must_be_true_or_false() -> None:
    with pytest.raises(StateError, match="scored must be True"):
        ramet.ExponentialAverage(scored=1)


def test_parts_are_named_by_the_beginnings_of_their_paths() -> None:
    average = ramet.PolynomialAverage(of=("params", "stats.mean"))
    names = ["params", "params.w", "params2", "stats.mean", "stats.variance"]
    assert [name for name in names if is_averaged(average, name)] == [
        "params",
        "params.w",
        "stats.mean",
    ]
    check_parts(average, names)
    with pytest.raises(StateError, match=r"in 'stats\.mean'; it has weights in \['params'\]"):
        check_parts(average, ["params.w"])


def test_a_share_is_exact_in_32_bits_too() -> None:
    for decay in (0.9, 0.999, 1 - 1e-8):
        average = ramet.ExponentialAverage(decay=decay)
        for updates in (1, 7, 1000):
            narrow = average.share(np.float32(updates), np.expm1)
            assert narrow == pytest.approx(average.share(updates), rel=1e-6)


def test_kinds_that_mean_the_same_are_the_same() -> None:
    kinds = [
        ramet.ExponentialAverage(decay=np.float64(0.9), of=("model",)),
        ramet.ExponentialAverage(decay=0.9, of="model"),
    ]
    assert len({repr(kind) for kind in kinds}) == 1

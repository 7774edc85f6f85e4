import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from ramet import smoothing
from ramet.curves import smooth
from ramet.errors import ScoreError
from ramet.smoothing import LENGTHSCALES, LONGEST_LENGTHSCALE, MOST_POINTS, NOISES

curves = arrays(np.float64, st.integers(3, 40), elements=st.floats(-100, 100, width=32))


def random_curve(rng: np.random.Generator, least: int = 8, most: int = 200) -> np.ndarray:
    """A curve as training leaves them: saturating, wandering, wavy or logarithmic, with noise."""
    length = int(rng.integers(least, most + 1))
    at = np.arange(length)
    shape = [
        lambda: 1 - np.exp(-at / rng.uniform(2, length)),
        lambda: np.cumsum(rng.normal(size=length)) / math.sqrt(length),
        lambda: np.tanh(3 * at / length) + 0.2 * np.sin(at / rng.uniform(2, 20)),
        lambda: np.log1p(at),
    ][rng.integers(4)]()
    noise = rng.choice([0.003, 0.03, 0.1, 0.5, 2.0])
    return shape * rng.lognormal() + noise * rng.normal(size=length) + 10 * rng.normal()


def posterior(curve: np.ndarray, lengthscale: float, noise: float) -> tuple[np.ndarray, float]:
    """The posterior mean and the log likelihood, by the book."""
    centred = curve - curve.mean()
    distance = math.sqrt(5) * np.abs(
        np.subtract.outer(np.arange(len(curve)), np.arange(len(curve)))
    )
    scaled = distance / lengthscale
    kernel = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    noisy = kernel + noise * np.eye(len(curve))
    solved = np.linalg.solve(noisy, centred)
    amplitude = centred @ solved / len(curve)
    likelihood = -0.5 * (len(curve) * math.log(amplitude) + np.linalg.slogdet(noisy)[1])
    return curve.mean() + kernel @ solved, likelihood


@pytest.mark.parametrize("seed", range(10))
def test_is_the_posterior_mean_under_hyperparameters_that_are_as_likely_as_any(seed: int) -> None:
    curve = random_curve(np.random.default_rng(seed), 3, 12)
    fits = [
        posterior(curve, lengthscale, noise)
        for lengthscale in LENGTHSCALES
        if lengthscale <= LONGEST_LENGTHSCALE * len(curve)
        for noise in NOISES
    ]
    smoothed = smooth(curve)
    mean, likelihood = min(fits, key=lambda fit: np.abs(fit[0] - smoothed).max())
    assert mean == pytest.approx(smoothed, abs=1e-6 * np.ptp(curve))
    assert likelihood == pytest.approx(max(fit[1] for fit in fits), abs=0.1)


@pytest.mark.slow
def test_agrees_with_a_general_gaussian_process_at_its_optimum() -> None:
    rng = np.random.default_rng(2021)
    errors = []
    for _ in range(50):
        curve = random_curve(rng)
        spread, length = curve.std(), len(curve)
        kernel = ConstantKernel(1.0, (1e-6, 1e6)) * Matern(length / 4, (1, 4 * length), nu=2.5)
        process = GaussianProcessRegressor(
            kernel + WhiteKernel(0.1, (1e-7, 1e3)), n_restarts_optimizer=0
        )
        at = np.arange(length)[:, None]
        with warnings.catch_warnings():
            # That an optimum lies on a bound.
            warnings.simplefilter("ignore")
            process.fit(at, (curve - curve.mean()) / spread)
        expected = process.predict(at) * spread + curve.mean()
        errors.append(math.sqrt(np.mean((smooth(curve) - expected) ** 2)) / spread)
    assert np.median(errors) < 0.02


@given(curves, st.floats(-1e4, 1e4))
def test_follows_a_shift(curve: np.ndarray, shift: float) -> None:
    if np.ptp(curve) < 1e-3:
        return  # A shift takes what is left of its digits.
    assert smooth(curve + shift) - shift == pytest.approx(
        smooth(curve), abs=1e-3 * np.ptp(curve), rel=0
    )


@given(curves)
def test_follows_a_scale_exactly(curve: np.ndarray) -> None:
    assert (smooth(curve * 2.0**20) == smooth(curve) * 2.0**20).all()


@given(curves)
def test_is_deterministic_and_leaves_what_it_was_given(curve: np.ndarray) -> None:
    before = curve.copy()
    first = smooth(curve)
    smooth(np.arange(300.0) ** 0.5)  # Has room made for longer ones.
    assert (smooth(curve) == first).all()
    assert (curve == before).all()


@pytest.mark.parametrize("curve", [[1.0], [1.0, 5.0], [2.0] * 9, []])
def test_leaves_alone_what_has_nothing_to_be_smoothed(curve: list[float]) -> None:
    assert smooth(curve).tolist() == curve


def test_counts_what_is_not_finite_as_the_lowest() -> None:
    curve = [3.0, 4.0, math.nan, 5.0, math.inf, 6.0]
    assert (smooth(curve) == smooth([3.0, 4.0, 3.0, 5.0, 3.0, 6.0])).all()
    assert (smooth([math.nan] * 5) == 0).all()


def test_takes_noise_away() -> None:
    rng = np.random.default_rng(0)
    truth = np.log1p(np.arange(200) / 10)
    noisy = truth + 0.3 * rng.normal(size=200)
    assert np.abs(smooth(noisy) - truth).mean() < 0.25 * np.abs(noisy - truth).mean()


@pytest.mark.parametrize("length", [1_025, 6_001])
def test_is_as_good_for_a_curve_too_long_to_be_taken_whole(length: int) -> None:
    rng = np.random.default_rng(0)
    truth = np.log1p(np.arange(length) / 10)
    smoothed = smooth(truth + 0.05 * rng.normal(size=length))
    assert len(smoothed) == length
    assert np.abs(smoothed - truth).max() < 0.15
    assert np.abs(smoothed - truth).mean() < 0.01


def test_one_point_more_than_can_be_taken_whole_changes_next_to_nothing() -> None:
    curve = np.log1p(np.arange(MOST_POINTS + 1))
    curve += 0.05 * np.random.default_rng(0).normal(size=MOST_POINTS + 1)
    whole, longer = smooth(curve[:MOST_POINTS]), smooth(curve)
    assert longer[:MOST_POINTS] == pytest.approx(whole, abs=0.02)


def test_an_interrupt_while_gains_grow_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = np.log1p(np.arange(100.0)) + 0.1 * np.random.default_rng(0).normal(size=100)
    expected = smooth(curve)
    # As in a new process, where the first curve has all gains worked out.
    smoothing._gains.cache_clear()  # noqa: SLF001 - the only way to be a new process in this one
    stacked, points = np.stack, iter(range(30))

    def interrupted(*args: Any, **options: Any) -> Any:
        if next(points, None) is None:
            raise KeyboardInterrupt
        return stacked(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(np, "stack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            smooth(curve)
    assert (smooth(curve) == expected).all()


@pytest.mark.parametrize("curve", [[[1.0, 2.0], [3.0, 4.0]], 3.0])
def test_what_is_not_a_row_of_scores_is_refused(curve: Any) -> None:
    with pytest.raises(ScoreError, match="a curve must be a row of scores"):
        smooth(curve)


def test_is_not_disturbed_by_huge_or_tiny_scores() -> None:
    curve = random_curve(np.random.default_rng(5))
    for scale in (1e-300, 1e300):
        assert smooth(curve * scale) / scale == pytest.approx(smooth(curve), rel=1e-6)

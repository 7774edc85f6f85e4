"""A Gaussian process through an evenly spaced curve, in time proportional to its length.

A Matérn-5/2 process is a linear filter of white noise with a state of three numbers: value, slope
and curvature. On an even grid, the gains of its Kalman filter depend only on the hyperparameters
and on the number of points. So the gains are computed once, for a whole grid of hyperparameters,
and serve all curves: a likelihood is then one banded substitution.
"""

import math
import threading
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ramet.errors import ScoreError

Floats = NDArray[np.float64]
# A place in the grid of hyperparameters: the row of its lengthscale, the column of its noise.
Cell = tuple[int, int]

# Fewer points are not smoothed.
FEWEST_POINTS = 3
# Lengthscales, in points.
LENGTHSCALES = 2.0 ** (np.arange(27) / 2)
# The longest lengthscale that is tried, as a multiple of a curve's length.
LONGEST_LENGTHSCALE = 4
# The variance of the noise, relative to that of the signal.
NOISES = 2.0 ** np.arange(-18, 13)
# How many rows and columns the search moves by: first over the whole grid, then from the best.
STRIDES = ((4, 6), (2, 3), (1, 1))
# Numbers in the state: value, slope and curvature.
STATES = 3
# Of longer curves only the ends are smoothed point by point, to bound the memory for gains.
MOST_POINTS = 1024


def smooth(scores: ArrayLike) -> Floats:
    """Return the posterior mean of a Gaussian process at the points of an evenly spaced curve.

    The process is Matérn-5/2 plus white noise around the curve's mean, with the hyperparameters
    of the highest marginal likelihood. Fewer than 3 points, or equal ones, are returned as they
    are. A score that is not finite is replaced by the lowest finite one.

    Args:
        scores: The scores, evenly spaced in steps.

    >>> smooth([0.0, 3.0, 2.0, 5.0, 4.0, 7.0, 6.0, 9.0]).round(1).tolist()
    [1.1, 1.9, 2.9, 4.0, 5.0, 6.1, 7.1, 7.9]
    """
    given = np.array(scores, dtype=np.float64)
    if given.ndim != 1:
        raise ScoreError(
            f"a curve must be a row of scores, evenly spaced in steps, but got an array of shape "
            f"{given.shape}"
        )
    finite = np.isfinite(given)
    if not finite.all():
        given[~finite] = given[finite].min() if finite.any() else 0.0
    if len(given) < FEWEST_POINTS or given.min() == given.max():
        return given
    if len(given) > MOST_POINTS:
        return _smooth_long(given)
    # A shift and a scale do not change the likeliest hyperparameters.
    size = np.abs(given).max()
    centre = (given / size).mean()
    residuals = given / size - centre
    spread = np.abs(residuals).max()
    mean: Floats = (_likeliest(residuals / spread).mean() * spread + centre) * size
    return mean


def _smooth_long(curve: Floats) -> Floats:
    """Smooth the ends point by point, and the middle as means of neighbours, interpolated."""
    places = np.arange(len(curve))
    starts = places[:: math.ceil(len(curve) / MOST_POINTS)]
    counts = np.diff(starts, append=len(curve))
    means = np.add.reduceat(curve, starts) / counts
    smoothed = np.interp(places, starts + (counts - 1) / 2, smooth(means))
    half = MOST_POINTS // 2
    smoothed[:half] = smooth(curve[:MOST_POINTS])[:half]
    smoothed[-half:] = smooth(curve[-MOST_POINTS:])[-half:]
    return smoothed


def _likeliest(curve: Floats) -> "_Fit":
    """Return the fit with the highest likelihood, by a search of the grid from coarse to fine."""
    gains = _gains()
    rows = int(np.searchsorted(LENGTHSCALES, LONGEST_LENGTHSCALE * len(curve), side="right"))
    differenced = [_difference(curve, recursion) for recursion in gains.recursions[:rows]]
    fits: dict[Cell, _Fit] = {}

    def loss(cell: Cell) -> float:
        if cell not in fits:
            fits[cell] = _Fit(curve, differenced[cell[0]], cell, gains)
        return fits[cell].loss

    (down, along), *finer = STRIDES
    cells = ((i, j) for i in range(0, rows, down) for j in range(0, len(NOISES), along))
    best = min(cells, key=loss)
    for stride in finer:
        while (better := min(_around(best, stride, rows), key=loss)) != best:
            best = better
    return fits[best]


def _around(cell: Cell, stride: tuple[int, int], rows: int) -> Iterator[Cell]:
    """Yield a cell and its neighbours at a distance."""
    (row, column), (down, along) = cell, stride
    yield cell
    for i in (row - down, row, row + down):
        for j in (column - along, column, column + along):
            if 0 <= i < rows and 0 <= j < len(NOISES):
                yield i, j


class _Fit:
    """A curve under the hyperparameters of a cell, with the likeliest amplitude."""

    def __init__(self, curve: Floats, differenced: Floats, cell: Cell, gains: "_Gains") -> None:
        length = len(curve)
        self._curve, self._gains = curve, gains
        self._noise = float(NOISES[cell[1]])
        self._recursion = gains.recursions[cell[0]]
        self._factor, logs = gains.factor(cell, length)
        self._white = gains.solve(self._factor, differenced, "N")
        # The negative logarithm of the marginal likelihood, less a constant.
        self.loss = 0.5 * length * math.log(self._white @ self._white / length) + logs

    def mean(self) -> Floats:
        """Return the posterior mean: the curve less the expected noise."""
        solved = self._gains.solve(self._factor, self._white, "T")
        return self._curve - self._noise * _difference_transposed(solved, self._recursion)


# A process of three states obeys a recursion over three points. A point less what this recursion
# predicts depends only on its own innovation and the last three, so their covariance is a band.


def _difference(curve: Floats, recursion: Floats) -> Floats:
    """Subtract from each point what the three before it predict. The first three stay."""
    out = curve.copy()
    for lag, part in enumerate(recursion, start=1):
        out[STATES:] -= part * curve[STATES - lag : -lag]
    return out


def _difference_transposed(curve: Floats, recursion: Floats) -> Floats:
    """Apply the transpose of ``_difference``."""
    out = curve.copy()
    for lag, part in enumerate(recursion, start=1):
        out[STATES - lag : -lag] -= part * curve[STATES:]
    return out


class _Gains:
    """The banded factors of the differenced curve's covariance, for each cell."""

    def __init__(self) -> None:
        from scipy.linalg.lapack import dtbtrs  # noqa: PLC0415 - slow to import, and seldom needed

        self._substitute = dtbtrs
        self._growing = threading.Lock()
        decay = math.sqrt(5) / LENGTHSCALES
        self._step, self._noise = _transition(decay), _process_noise(decay)
        root = np.exp(-decay)
        self.recursions = np.stack([3 * root, -3 * root**2, root**3], axis=1)
        shape = (len(LENGTHSCALES), len(NOISES))
        # The covariance of the state before the next point: at first the stationary one.
        stationary = np.broadcast_to(STATIONARY, (*shape, STATES, STATES))
        # With the factors, and the logarithms of their determinants. They are replaced together.
        self._grown: tuple[Floats, Floats, Floats]
        self._grown = stationary, np.zeros((*shape, 0, STATES + 1)), np.zeros((*shape, 0))

    def factor(self, cell: Cell, length: int) -> tuple[Floats, float]:
        """Return a cell's factor for a curve's length, and half the log of its determinant."""
        if self._grown[2].shape[-1] < length:
            self._grow(length)
        _, factors, logs = self._grown
        return factors[cell][:length].T, float(logs[cell][length - 1])

    def solve(self, factor: Floats, curve: Floats, transposed: str) -> Floats:
        """Solve for what the factor, or its transpose, maps to the curve."""
        solution, _ = self._substitute(factor, curve[:, None], uplo="L", trans=transposed)
        solved: Floats = solution[:, 0]
        return solved

    def _grow(self, length: int) -> None:
        with self._growing:
            covariance, factors, logs = self._grown
            before = logs.shape[-1]
            if before >= length:
                return  # Another thread did.
            columns = []
            for place in range(before, max(64, 2 ** (length - 1).bit_length())):
                covariance, column = self._next(covariance, place)
                columns.append(column)
            factors = np.concatenate([factors, np.stack(columns, axis=2)], axis=2)
            self._grown = covariance, factors, np.log(factors[..., 0]).cumsum(axis=2)

    def _next(self, before: Floats, place: int) -> tuple[Floats, Floats]:
        """Return the state's covariance before the next point, and the factor's next column."""
        surprise = before[..., 0, 0] + NOISES
        gain = before[..., 0] / surprise[..., None]
        after = before - gain[..., :, None] * gain[..., None, :] * surprise[..., None, None]
        step = self._step[:, None]
        covariance: Floats = step @ after @ step.swapaxes(-1, -2) + self._noise[:, None]
        # The effect of an innovation on the next three points, less what the recursion predicts.
        once = (step @ gain[..., None])[..., 0]
        twice = (step @ once[..., None])[..., 0, 0]
        first, second, third = self.recursions.T[..., None]
        felt = [
            np.ones_like(surprise),
            once[..., 0] - first * (place + 1 >= STATES),
            twice - (first * once[..., 0] + second) * (place + 2 >= STATES),
            -third * NOISES / surprise,
        ]
        return covariance, np.stack(felt, axis=-1) * np.sqrt(surprise)[..., None]


@cache
def _gains() -> _Gains:
    return _Gains()


# Time is in units of 1 / decay, in which all lengthscales are the same process.
STATIONARY = np.array([[1, 0, -1 / 3], [0, 1 / 3, 0], [-1 / 3, 0, 1]])
NILPOTENT = np.array([[1, 1, 0], [0, 1, 1], [-1, -3, -2]])


def _transition(decay: Floats) -> Floats:
    """Return the matrix of a step of the state, for each decay."""
    time = decay[..., None, None]
    matrix: Floats = np.exp(-time) * (
        np.eye(STATES) + time * NILPOTENT + time**2 / 2 * (NILPOTENT @ NILPOTENT)
    )
    return matrix


def _process_noise(decay: Floats) -> Floats:
    """Return the covariance of the noise that a step adds to the state, for each decay.

    It is an integral of products. The difference of two covariances would lose all digits for long
    lengthscales.
    """
    nodes, weights = np.polynomial.legendre.leggauss(10)
    times = np.multiply.outer(decay, (nodes + 1) / 2)
    response = _transition(times)[..., 2]
    density = 16 / 3 * decay[:, None] * weights / 2
    noise: Floats = np.einsum("dt,dti,dtj->dij", density, response, response)
    return noise

"""A small Gaussian process over a few hundred points, which forgets older ones.

Its sums do not depend on how many threads a process has, because decisions must be the same in each
process. BLAS promises no such thing, so nothing here calls it.
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]

# The settings among which the likeliest are chosen.
LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
NOISES = (0.01, 0.1, 0.3, 1.0, 3.0)
FORGETTINGS = (0.0, 0.1, 0.25, 0.5)
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
# How often each setting is chosen anew, with the others as they are.
SWEEPS = 2
# The least variance, which keeps a process through equal values from being certain.
LEAST_VARIANCE = 1e-6


class Kernel(NamedTuple):
    """How alike values are at two points, and how far off each measurement is."""

    # The distance over which values change, where inputs lie from 0 to 1.
    length: float = 0.4
    # The variance of a measurement's error, as a multiple of the variance of the values.
    noise: float = 0.1
    # By how much values at the two ends of time differ, from 0 to 0.5: the epsilon of PB2.
    forgetting: float = 0.0
    # Which part of the likeness is a product of that of inputs and that of options, and not their
    # mean. It is the lambda in the kernel of CoCaBO (Ru et al., 2020), which PB2-Mix uses too.
    mix: float = 0.5


class Points(NamedTuple):
    """Where values are measured or predicted."""

    # The time of each point, from 0 to 1.
    times: Floats
    # The inputs of each point, as a row of values from 0 to 1.
    inputs: Floats
    # The place of the option at each point, for each unordered choice; None if there are none.
    options: Places | None = None

    def at(self, place: int) -> "Points":
        """Return one of the points.

        Args:
            place: Its place.
        """
        options = None if self.options is None else self.options[place : place + 1]
        return Points(self.times[place : place + 1], self.inputs[place : place + 1], options)

    def extend(self, others: "Points") -> "Points":
        """Return these points and others.

        Args:
            others: Points that have options if these have.
        """
        options = None
        if self.options is not None and others.options is not None:
            options = np.concatenate([self.options, others.options])
        times = np.concatenate([self.times, others.times])
        return Points(times, np.concatenate([self.inputs, others.inputs]), options)


class Surrogate:
    """A Gaussian process through measured values.

    Args:
        kernel: How alike values are at two points.
        points: Where values were measured.
        values: What was measured, about 0 on average.
    """

    def __init__(self, kernel: Kernel, points: Points, values: Floats) -> None:
        self.kernel, self.points = kernel, points
        root = _root(kernel, points)
        # The inverse of the root. A point that is added is one more row.
        self._whitening = _invert(root)
        white = _multiply(self._whitening, values)
        self._weights = np.einsum("ij,i->j", self._whitening, white)
        self.variance = _variance(white)

    def add(self, points: Points) -> None:
        """Add points that are still to be measured, each with the mean that is predicted for it.

        This changes no mean. It makes values near these points more certain.
        """
        for place in range(len(points.times)):
            one = points.at(place)
            row = _multiply(self._whitening, _likeness(self.kernel, self.points, one)[:, 0])
            left = 1 + self.kernel.noise - float(np.einsum("i,i", row, row))
            corner = 1 / math.sqrt(max(left, self.kernel.noise))
            size = len(row)
            grown = np.zeros((size + 1, size + 1))
            grown[:size, :size] = self._whitening
            grown[size, :size] = -corner * np.einsum("i,ij->j", row, self._whitening)
            grown[size, size] = corner
            self._whitening = grown
            self._weights = np.append(self._weights, 0.0)
            self.points = self.points.extend(one)

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of the value at each point."""
        alike = _likeness(self.kernel, points, self.points)
        white = np.einsum("pj,ij->pi", alike, self._whitening)
        left = 1 - np.einsum("pi,pi->p", white, white)
        means = np.einsum("pj,j->p", alike, self._weights)
        return means, np.sqrt(self.variance * np.maximum(left, 0.0))


def fit(points: Points, values: Floats) -> Surrogate:
    """Return the process with the kernel that makes the measured values likeliest.

    Each setting of the kernel is chosen from a few, one after the other.
    """
    found: dict[Kernel, float] = {}

    def judge(kernel: Kernel) -> float:
        if kernel not in found:
            found[kernel] = likelihood(kernel, points, values)
        return found[kernel]

    kernel = Kernel()
    for _ in range(SWEEPS):
        kernel = max((kernel._replace(length=length) for length in LENGTHS), key=judge)
        kernel = max((kernel._replace(noise=noise) for noise in NOISES), key=judge)
        kernel = max((kernel._replace(forgetting=part) for part in FORGETTINGS), key=judge)
        if points.options is not None:
            kernel = max((kernel._replace(mix=part) for part in MIXES), key=judge)
    return Surrogate(kernel, points, values)


def likelihood(kernel: Kernel, points: Points, values: Floats) -> float:
    """Return the logarithm of how likely values are, without what is the same for all kernels."""
    root = _root(kernel, points)
    spread = float(np.log(np.diagonal(root)).sum())
    return -len(values) / 2 * math.log(_variance(_solve(root, values))) - spread


def _root(kernel: Kernel, points: Points) -> Floats:
    """Return the root of the covariance of measured values, for a variance of 1."""
    covariance = _likeness(kernel, points, points)
    covariance[np.diag_indices(len(covariance))] += kernel.noise
    return _cholesky(covariance)


def _variance(white: Floats) -> float:
    return max(float(np.einsum("i,i", white, white)) / len(white), LEAST_VARIANCE)


def _likeness(kernel: Kernel, some: Points, others: Points) -> Floats:
    """Return the covariance of values at some points with those at others, for a variance of 1."""
    gaps = some.inputs[:, None, :] - others.inputs[None, :, :]
    squares = np.einsum("abi,abi->ab", gaps, gaps)
    ages = np.abs(some.times[:, None] - others.times[None, :])
    near: Floats = np.exp(-squares / (2 * kernel.length**2))
    if some.options is not None and others.options is not None:
        same = (some.options[:, None, :] == others.options[None, :, :]).mean(axis=2)
        near = (1 - kernel.mix) * (near + same) / 2 + kernel.mix * near * same
    return near * (1 - kernel.forgetting) ** (ages / 2)


def _cholesky(covariance: Floats) -> Floats:
    """Return the lower triangular root, column by column."""
    root = np.zeros_like(covariance)
    for column in range(len(covariance)):
        left = covariance[column:, column] - np.einsum(
            "ij,j->i", root[column:, :column], root[column, :column]
        )
        root[column:, column] = left / math.sqrt(left[0])
    return root


def _solve(root: Floats, values: Floats) -> Floats:
    """Return what a lower triangular matrix makes these values of."""
    solved = np.zeros_like(values)
    for row in range(len(root)):
        known = np.einsum("j,j", root[row, :row], solved[:row])
        solved[row] = (values[row] - known) / root[row, row]
    return solved


def _invert(root: Floats) -> Floats:
    """Return the inverse of a lower triangular matrix, row by row."""
    inverse = np.zeros_like(root)
    for row in range(len(root)):
        corner = root[row, row]
        inverse[row, :row] = -np.einsum("j,jk->k", root[row, :row], inverse[:row, :row]) / corner
        inverse[row, row] = 1 / corner
    return inverse


def _multiply(matrix: Floats, vector: Floats) -> Floats:
    multiplied: Floats = np.einsum("ij,j->i", matrix, vector)
    return multiplied

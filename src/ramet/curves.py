"""Comparing learning curves as FIRE PBT does (Dalibard & Jaderberg, 2021, arXiv 2109.13800).

A curve is a sequence of scores, evenly spaced in training steps. Two curves are compared from where
their scores are similar, which may be at different steps, to see which one improves faster. In all
functions here, a point that is not finite counts as the lowest score of the two curves.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ramet.errors import ScoreError
from ramet.smoothing import smooth

__all__ = [
    "Overlap",
    "Smoother",
    "best_score_diff",
    "binomial_test",
    "dominates",
    "overlap",
    "smooth",
]

Floats: TypeAlias = NDArray[np.float64]
# Smooths a curve. Adding a constant to the scores must add it to the smoothed curve.
Smoother: TypeAlias = Callable[[Floats], Floats]

# Scores of larger size are clipped, so that differences of scores are finite.
LARGEST = np.finfo(np.float64).max / 8


class Overlap(NamedTuple):
    """The sections of two curves that start from similar scores.

    Args:
        first: The index at which the section of the first curve starts.
        second: The index at which the section of the second curve starts.
        length: The number of points in each section.
    """

    first: int
    second: int
    length: int


class _Curves(NamedTuple):
    """Two curves, as measured and smoothed."""

    a: Floats
    b: Floats
    smooth_a: Floats
    smooth_b: Floats

    def swap(self) -> "_Curves":
        return _Curves(self.b, self.a, self.smooth_b, self.smooth_a)

    def overlap(self) -> Overlap | None:
        """Find where the curve that starts lower first reaches the start of the other."""
        start_a, start_b = self.smooth_a[0], self.smooth_b[0]
        first = _first(self.smooth_a >= start_b) if start_a < start_b else 0
        second = 0 if start_a < start_b else _first(self.smooth_b >= start_a)
        if first is None or second is None:
            return None
        return Overlap(first, second, min(len(self.a) - first, len(self.b) - second))

    def is_above(self) -> bool:
        """Say whether every score of the first is higher than every one of the second."""
        return bool(self.a.min() > self.b.max())


def overlap(a: ArrayLike, b: ArrayLike, *, smoother: Smoother = smooth) -> Overlap | None:
    """Return the sections where two curves can be compared; None if neither reaches the other.

    The section of the curve that starts lower begins where that curve, smoothed, first reaches the
    start of the other one.

    Args:
        a: The scores of the first curve.
        b: The scores of the second curve.
        smoother: Smooths both curves before the sections are looked for.

    >>> overlap([0, 1, 2, 3, 4, 5, 6], [2.5, 4.5, 6.5, 8.5])
    Overlap(first=3, second=0, length=4)
    """
    return _curves(a, b, smoother).overlap()


def best_score_diff(a: ArrayLike, b: ArrayLike, *, smoother: Smoother = smooth) -> float:
    """Return by how much more the first curve improves than the second, from similar scores on.

    Where the curves overlap, this is the difference of the best measured scores in the two
    sections. A curve that lies strictly above the other is lowered by the amount at which its lead
    is largest, and that lead is returned, or 0 if it never leads. The only such amount may be the
    one at which both start level. Swapping the curves changes the sign.

    Args:
        a: The scores of the first curve.
        b: The scores of the second curve.
        smoother: Smooths both curves before the sections are looked for.

    >>> best_score_diff([0, 1, 2, 3, 4, 5, 6], [2.5, 4.5, 6.5, 8.5])
    -2.5
    >>> round(best_score_diff([10, 14, 18, 22], [0, 1, 2, 3]))
    6
    """
    curves = _curves(a, b, smoother)
    found = curves.overlap()
    if found is not None:
        first, second, length = found
        best_a = curves.a[first : first + length].max()
        return float(best_a - curves.b[second : second + length].max())
    if curves.is_above():
        return _lead_when_lowered(curves)
    if curves.swap().is_above():
        return -_lead_when_lowered(curves.swap())
    return 0.0


def binomial_test(a: ArrayLike, b: ArrayLike, *, smoother: Smoother = smooth) -> float | None:
    """Return the one-sided p of the first curve being above the second where they overlap.

    Points are compared pair by pair, without the first pair, where both start alike. Ties count
    against the first curve. Without an overlap it is None. Each point depends on the one before,
    so use p as a threshold for decisions and not as a significance.

    Args:
        a: The scores of the first curve.
        b: The scores of the second curve.
        smoother: Smooths both curves before the sections are looked for.

    >>> binomial_test([2.5, 4.5, 6.5, 8.5], [0, 1, 2, 3, 4, 5, 6])
    0.125
    """
    from scipy.special import bdtrc  # noqa: PLC0415 - slow to import, and only FIRE needs it

    curves = _curves(a, b, smoother)
    found = curves.overlap()
    if found is None:
        return None
    first, second, length = found
    if length == 1:
        return 1.0
    ahead = curves.a[first + 1 : first + length] > curves.b[second + 1 : second + length]
    return float(bdtrc(int(ahead.sum()) - 1, length - 1, 0.5))


def dominates(a: ArrayLike, b: ArrayLike, *, smoother: Smoother = smooth) -> bool:
    """Return whether the first curve lies strictly above the second and never overlaps with it.

    Args:
        a: The scores of the first curve.
        b: The scores of the second curve.
        smoother: Smooths both curves before the sections are looked for.

    >>> dominates([8, 9, 10], [1, 1, 1])
    True
    """
    curves = _curves(a, b, smoother)
    return curves.overlap() is None and curves.is_above()


def _curves(a: ArrayLike, b: ArrayLike, smoother: Smoother) -> _Curves:
    first, second = _scores(a), _scores(b)
    lowest = min(_lowest(first), _lowest(second))
    first, second = (_fill(curve, lowest) for curve in (first, second))
    return _Curves(first, second, _smooth(first, smoother), _smooth(second, smoother))


def _smooth(curve: Floats, smoother: Smoother) -> Floats:
    smoothed = np.asarray(smoother(curve.copy()), dtype=np.float64)
    if smoothed.shape != curve.shape or not np.isfinite(smoothed).all():
        raise ScoreError(
            f"a smoother must return a finite number for each score, but of {len(curve)} scores "
            f"{getattr(smoother, '__name__', smoother)} made an array of shape {smoothed.shape} "
            f"with {np.isfinite(smoothed).sum()} of them"
        )
    return smoothed


def _scores(curve: ArrayLike) -> Floats:
    scores = np.asarray(curve, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ScoreError(
            f"a curve must be a row of at least one score, evenly spaced in steps, but got an "
            f"array of shape {scores.shape}"
        )
    # Clipped, so that differences stay finite.
    return np.where(np.isfinite(scores), scores.clip(-LARGEST, LARGEST), np.nan)


def _lowest(curve: Floats) -> float:
    return float(np.min(curve, initial=np.inf, where=np.isfinite(curve)))


def _fill(curve: Floats, lowest: float) -> Floats:
    finite = np.isfinite(curve)
    if finite.all():
        return curve
    return np.where(finite, curve, lowest if np.isfinite(lowest) else 0.0)


def _first(reached: NDArray[np.bool_]) -> int | None:
    place = int(reached.argmax())
    return place if reached[place] else None


def _lead_when_lowered(curves: _Curves) -> float:
    """Return the highest best_score_diff of a curve above another, over how far it is lowered.

    It is lowered at least until they meet, and at most until their lowest scores are level. In
    between, the sections change at certain depths only; from one to the next the lead falls, so
    that the highest is where sections have just changed.
    """
    a, b = curves.a, curves.b
    pieces = [*_first_climbs(curves), *_second_climbs(curves)]
    begins, ends, first, second = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    begins = np.maximum(begins, a.min() - b.max())
    ends = np.minimum(ends, a.min() - b.min())
    there = begins <= ends
    begins, first, second = begins[there], first[there], second[there]
    length = np.minimum(len(a) - first, len(b) - second)
    lead = _highest(a, first, length) - _highest(b, second, length) - begins
    return float(np.max(lead, initial=0.0))


# From which depth to which, both included, the sections start at which points of the two curves.
_Pieces: TypeAlias = tuple[Floats, Floats, NDArray[np.int_], NDArray[np.int_]]


def _first_climbs(curves: _Curves) -> Iterator[_Pieces]:
    """Yield the depths at which the first curve starts below the other and climbs to its start.

    The further it is lowered, the later that is.
    """
    reached = np.maximum.accumulate(curves.smooth_a) - curves.smooth_b[0]
    points = np.arange(1, len(reached))
    yield np.nextafter(reached[:-1], np.inf), reached[1:], points, np.zeros_like(points)


def _second_climbs(curves: _Curves) -> Iterator[_Pieces]:
    """Yield the depths at which the first curve starts level with the other, or still above it.

    The further it is lowered, the sooner the other climbs to its start.
    """
    reached = curves.smooth_a[0] - np.maximum.accumulate(curves.smooth_b)
    points = np.arange(1, len(reached))
    yield reached[:1], reached[:1], np.zeros(1, dtype=int), np.zeros(1, dtype=int)
    yield reached[1:], np.nextafter(reached[:-1], -np.inf), np.zeros_like(points), points


def _highest(curve: Floats, starts: NDArray[np.int_], lengths: NDArray[np.int_]) -> Floats:
    """Return the highest score of each section, from those of spans of 1, 2, 4, … points."""
    spans = [curve]
    while 2 ** len(spans) <= len(curve):
        half = 2 ** (len(spans) - 1)
        wide = spans[-1].copy()
        wide[:-half] = np.maximum(wide[:-half], wide[half:])
        spans.append(wide)
    level = np.log2(lengths).astype(int)
    table = np.stack(spans)
    highest: Floats = np.maximum(table[level, starts], table[level, starts + lengths - 2**level])
    return highest

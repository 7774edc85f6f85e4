"""Schedules of fewer pieces: which steps share a value, and which value it is."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ramet.domains import Value, exact
from ramet.schedule.pieces import Piece, piece_at
from ramet.space import Space, same

Costs = NDArray[np.float64]


def merge(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return pieces with neighbours that have the same values joined."""
    whole: list[Piece] = []
    for piece in pieces:
        if whole and same(whole[-1].hparams, piece.hparams):
            whole[-1] = Piece(start=whole[-1].start, stop=piece.stop, hparams=piece.hparams)
        else:
            whole.append(piece)
    return tuple(whole)


def segment(
    pieces: Sequence[Piece], most: int, numbers: Collection[str], space: Space | None
) -> Iterator[Piece]:
    """Yield at most ``most`` pieces that are nearest to the given ones, step by step.

    ``numbers`` are the hyperparameters that can be averaged, and ``space`` is what values keep.
    """
    names = list(dict.fromkeys(name for piece in pieces for name in piece.hparams))
    conditions = () if space is None else space.conditions.values()
    decisive = sorted({one.on for its in conditions for one in its})
    costs = np.zeros((len(pieces), len(pieces)))
    for name in names:
        costs += _costs(pieces, name, averaged=name in numbers)
    for first, last in _cut(costs, min(most, len(pieces))):
        part = pieces[first : last + 1]
        alike = _commonest(part, decisive)
        hparams = {
            name: _middle(alike, name, averaged=name in numbers) for name in alike[0].hparams
        }
        # Averages may break a limit that all of the values keep.
        kept = hparams if space is None else space.complete(hparams, None)
        yield Piece(start=part[0].start, stop=part[-1].stop, hparams=kept)


def _commonest(pieces: Sequence[Piece], decisive: Sequence[str]) -> list[Piece]:
    """Return the pieces with those values of which others depend that most of the steps have."""
    kinds = [tuple(_exact(piece, name) for name in decisive) for piece in pieces]
    steps: Counter[Any] = Counter()
    for kind, piece in zip(kinds, pieces, strict=True):
        steps[kind] += piece.stop - piece.start
    commonest = steps.most_common(1)[0][0]
    return [piece for kind, piece in zip(kinds, pieces, strict=True) if kind == commonest]


def _exact(piece: Piece, name: str) -> tuple[type, str] | None:
    """Return a key of a value; None if it is not there."""
    return exact(piece.hparams[name]) if name in piece.hparams else None


def deviations(
    before: Sequence[Piece], after: Sequence[Piece], numbers: Collection[str]
) -> dict[str, float]:
    """Return how much pieces differ from those they were made from, for each hyperparameter."""
    steps = before[-1].stop
    found = {}
    for name in dict.fromkeys(name for piece in before for name in piece.hparams):
        # New pieces begin where old ones do, so each old piece is in one new piece.
        pairs = [(piece, piece_at(after, piece.start)) for piece in before]
        if name in numbers:
            found[name] = max(
                _part(float(was.hparams[name]), float(is_.hparams[name]))  # type: ignore[arg-type]  # as just checked
                for was, is_ in pairs
            )
        else:
            others = sum(
                was.stop - was.start for was, is_ in pairs if _exact(was, name) != _exact(is_, name)
            )
            found[name] = others / steps
    return found


def _part(was: float, is_: float) -> float:
    if was == is_:
        return 0.0
    return abs(is_ - was) / abs(was) if was else math.inf


def _costs(pieces: Sequence[Piece], name: str, *, averaged: bool) -> Costs:
    """Return the cost of joining pieces i to j: squared distances, summed over steps."""
    weights = np.array([piece.stop - piece.start for piece in pieces], float)
    total = _spans(weights)
    if averaged:
        scaled = _scale(pieces, name)
        first, second = _spans(weights * scaled), _spans(weights * scaled**2)
        costs = second - first**2 / np.where(total > 0, total, 1)
    else:
        values = [_exact(piece, name) for piece in pieces]
        counts = [
            _spans(weights * np.array([value == option for value in values]))
            for option in dict.fromkeys(values)
        ]
        costs = total - np.max(counts, axis=0)
    return np.maximum(np.triu(costs), 0.0)


def _spans(amounts: Costs) -> Costs:
    """Return the sum of amounts i to j, for every i and j."""
    upto = np.concatenate([[0.0], np.cumsum(amounts)])
    return np.triu(upto[None, 1:] - upto[:-1, None])


def _cut(costs: Costs, most: int) -> list[tuple[int, int]]:
    """Return the cheapest cut of all pieces into ``most`` parts, as their first and last pieces."""
    count = len(costs)
    # For the number of parts so far: what the first j pieces cost, and where the last part begins.
    cheapest, begins = costs[0].copy(), [np.zeros(count, int)]
    for _ in range(1, most):
        ways = np.full((count, count), math.inf)
        for first in range(1, count):
            ways[first, first:] = cheapest[first - 1] + costs[first, first:]
        begin = ways.argmin(axis=0)
        least = ways[begin, np.arange(count)]
        better = least < cheapest
        # Where one more part is no better, keep the fewer parts.
        begins.append(np.where(better, begin, -1))
        cheapest = np.where(better, least, cheapest)
    return _trace(begins, count)


def _trace(begins: Sequence[NDArray[np.int_]], count: int) -> list[tuple[int, int]]:
    parts: list[tuple[int, int]] = []
    last, level = count - 1, len(begins) - 1
    while last >= 0:
        while level > 0 and begins[level][last] < 0:
            level -= 1
        first = int(begins[level][last])
        parts.append((first, last))
        last, level = first - 1, level - 1
    return parts[::-1]


def _scale(pieces: Sequence[Piece], name: str) -> Costs:
    """Return numbers on the scale that they are averaged on, from 0 to 1."""
    values = _on_scale(np.array([piece.hparams[name] for piece in pieces], float))
    width = values.max() - values.min()
    return (values - values.min()) / width if width else np.zeros(len(values))


def _on_scale(values: Costs) -> Costs:
    return np.log(values) if values.min() > 0 else values


def _middle(pieces: Sequence[Piece], name: str, *, averaged: bool) -> Value:
    """Return the value that replaces those of several pieces."""
    weights = [piece.stop - piece.start for piece in pieces]
    values: list[Any] = [piece.hparams[name] for piece in pieces]
    if len({exact(value) for value in values}) == 1:
        return values[0]  # type: ignore[no-any-return]  # a value of a hyperparameter
    if not averaged:
        steps: Counter[tuple[type, str]] = Counter()
        for value, weight in zip(values, weights, strict=True):
            steps[exact(value)] += weight
        commonest = steps.most_common(1)[0][0]
        return next(value for value in values if exact(value) == commonest)  # type: ignore[no-any-return]  # as above
    numbers = np.array(values, float)
    average = float(np.average(_on_scale(numbers), weights=weights))
    middle = math.exp(average) if numbers.min() > 0 else average
    # Rounding errors must not leave the range.
    middle = min(max(middle, float(numbers.min())), float(numbers.max()))
    return round(middle) if all(isinstance(value, int) for value in values) else middle

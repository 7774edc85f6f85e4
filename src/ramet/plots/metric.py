"""A metric of all members."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ramet import wording
from ramet.history import Result, Trained
from ramet.history.metrics import metric as read
from ramet.history.turns import Key
from ramet.plots import drawing
from ramet.plots.scales import WIDE, Floats, Scale, drawable, elsewhere
from ramet.plots.scores import best, limit, members
from ramet.plots.story import Point, behind_best, ends_of, stretches
from ramet.series import MetricValues, Steps

Curves = Mapping[Key, tuple[Steps, MetricValues]]

# The part of values at either end that need not be near the others.
TAIL = 0.025


def metric(result: Result, name: str, ax: Axes | None = None) -> Axes:
    """Draw what all members logged under a name; what led to the best weights is black.

    A line is a member's, and ends where the member took other weights.
    """
    drawing.check(result)
    axes = drawing.axes_for(ax)
    axes.set(xlabel="steps trained", ylabel=drawing.literal(name))
    curves, ends = read(result.account.measured, name), ends_of(result)
    logged = sum(len(values) for _, values in curves.values())
    drawing.entitle(axes, result, f"{name}, {wording.count(logged, 'point')}")
    paths = _paths(result, curves, ends)
    shown = np.array([y for each in paths.values() for path in each for _, y in path])
    if not np.isfinite(shown).any():
        return drawing.say(axes, "no value is finite")
    scale = _scale(name, shown)
    handles = members(axes, result, paths)
    path = [point for turn in behind_best(result) for point in _curve(turn, curves, ends)]
    handles += best(axes, path) if path else []
    scale.set_up(axes, float(np.nanmin(shown)), float(np.nanmax(shown)))
    handles += limit(axes, scale, shown, _usual(shown, scale), "value")
    values = [value for _, logged in curves.values() for value in logged.tolist()]
    far = elsewhere(filter(math.isfinite, values), "values")
    drawing.legend(axes, [*handles, *far, *_gaps(shown)])
    return axes


def _paths(result: Result, curves: Curves, ends: Mapping[Key, int]) -> dict[int, list[list[Point]]]:
    """Return lines by their members' group."""
    paths: defaultdict[int, list[list[Point]]] = defaultdict(list)
    for turns in stretches(result.lineage()):
        path = [point for turn in turns for point in _curve(turn, curves, ends)]
        if path:
            paths[result.opening.births[turns[0].member].group].append(path)
    return paths


def _curve(turn: Trained, curves: Curves, ends: Mapping[Key, int]) -> Sequence[Point]:
    """Return a turn's points, so moved that it ends as ``ends`` says; NaN where not finite."""
    if turn.key not in curves:
        return []
    steps, values = curves[turn.key]
    drawn = [drawable(value) if math.isfinite(value) else math.nan for value in values.tolist()]
    return list(zip((steps + (ends[turn.key] - turn.stop)).tolist(), drawn, strict=True))


def _scale(name: str, shown: Floats) -> Scale:
    """Return how values are placed: by their logarithm if most are far below the largest."""
    low, middle, high = np.nanquantile(shown, [TAIL, 0.5, 1 - TAIL])
    is_wide = np.nanmin(shown) > 0 and high > WIDE * low and middle < (low + high) / 2
    return Scale(name=name, log=bool(is_wide))


def _usual(shown: Floats, scale: Scale) -> tuple[float, float]:
    """Return what values are between, but for those that are far off."""
    flat = scale.flat(shown)
    low, high = np.nanquantile(flat, [TAIL, 1 - TAIL])
    if low == high:
        return float(np.nanmin(shown)), float(np.nanmax(shown))
    ends = np.clip([2 * low - high, 2 * high - low], np.nanmin(flat), np.nanmax(flat))
    low, high = 10**ends if scale.log else ends
    return float(low), float(high)


def _gaps(shown: Floats) -> list[Artist]:
    count = int(np.isnan(shown).sum())
    are = "is" if count == 1 else "are"
    return [drawing.remark(f"{wording.count(count, 'value')} {are} not finite")] if count else []

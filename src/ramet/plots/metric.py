"""A metric of all members."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ramet import wording
from ramet.history import Result
from ramet.history.metrics import metric as read
from ramet.history.turns import Key, Turns
from ramet.plots import drawing
from ramet.plots.bands import draw_bands, is_crowd
from ramet.plots.scales import WIDE, Floats, Scale, drawable, elsewhere
from ramet.plots.scores import best, limit, members
from ramet.plots.story import Point, behind_best, name_behind, stretch_places
from ramet.series import MetricValues, Steps

Curves = Mapping[Key, tuple[Steps, MetricValues]]

# The part of values at either end that need not be near the others.
TAIL = 0.025


def metric(result: Result, name: str, ax: Axes | None = None) -> Axes:
    """Draw a metric of all members. The history of the best weights is black.

    Each line belongs to a member, and ends where the member took other weights. With more than 24
    members, bands show the range of half of the members and of nine in ten.

    Args:
        result: The run, whether it is over or still going on.
        name: The name that loops logged it under.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    axes = drawing.axes_for(ax)
    axes.set(xlabel="steps trained", ylabel=drawing.fit_up(axes, name))
    curves = read(result.account.measured, name)
    logged = sum(len(values) for _, values in curves.values())
    drawing.entitle(axes, result, f"{name}, {wording.count(logged, 'point')}")
    paths = _paths(result, curves)
    shown = np.array([y for each in paths.values() for path in each for _, y in path])
    if not np.isfinite(shown).any():
        return drawing.say(axes, "no value is finite")
    scale = _scale(name, shown)
    turns = result.lineage().turns
    if is_crowd(result):
        handles, *_ = draw_bands(axes, result, _whole_paths(turns, curves))
    else:
        handles = members(axes, result, paths)
    behind = behind_best(result)
    places = (turns.place(turn.key) for turn in behind)
    path = [point for place in places for point in _curve(turns, place, curves)]
    handles += best(axes, path, name_behind(behind)) if path else []
    scale.set_up(axes, float(np.nanmin(shown)), float(np.nanmax(shown)))
    handles += limit(axes, scale, shown, _usual(shown, scale), "value")
    values = [value for _, logged in curves.values() for value in logged.tolist()]
    far = elsewhere(filter(math.isfinite, values), "values")
    drawing.legend(axes, [*handles, *far, *_gaps(shown)])
    return axes


def _paths(result: Result, curves: Curves) -> dict[int, list[list[Point]]]:
    """Return lines by their members' group."""
    paths: defaultdict[int, list[list[Point]]] = defaultdict(list)
    turns = result.lineage().turns
    for places in stretch_places(turns):
        path = [point for place in places for point in _curve(turns, place, curves)]
        if path:
            paths[result.opening.births[turns.members[places[0]]].group].append(path)
    return paths


def _whole_paths(turns: Turns, curves: Curves) -> dict[int, list[Point]]:
    """Return the points of each member, from its first turn to its last."""
    found: defaultdict[int, list[Point]] = defaultdict(list)
    for place, member in enumerate(turns.members):
        found[member] += _curve(turns, place, curves)
    return found


def _curve(turns: Turns, place: int, curves: Curves) -> Sequence[Point]:
    """Return the points of the turn at a place, by the budget used; NaN where not finite."""
    key = turns.members[place], turns.numbers[place]
    if key not in curves:
        return []
    steps, values = curves[key]
    shift = turns.trained[place] - turns.stops[place]
    drawn = [drawable(value) if math.isfinite(value) else math.nan for value in values.tolist()]
    return list(zip((steps + shift).tolist(), drawn, strict=True))


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

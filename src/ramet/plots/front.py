"""The ends of all turns by two objectives, and the front."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.lines import Line2D

from ramet import wording
from ramet.errors import NoBest, UsageError
from ramet.goals import SCORE, Goal, objectives_of
from ramet.history import Result, Snapshot
from ramet.history.front import Ended, check_goals, find_ends
from ramet.plots import drawing
from ramet.plots.scales import WIDE, Floats, Scale, drawable

# Dots in a drawing that is still a small file.
RASTERIZED_DOTS = 3_000
# The part of the turns at the far end of an axis that may be beyond it, and the margin of an axis.
FAR, MARGIN = 0.05, 0.06
SHADE = "0.93"


class _Side(NamedTuple):
    """What one axis shows."""

    goal: Goal
    scale: Scale
    low: float
    high: float


def front(
    result: Result, ax: Axes | None = None, *, x: str | None = None, y: str | None = None
) -> Axes:
    """Draw how all turns ended, by two numbers, and the turns of the front.

    Colours are steps trained. What is beyond a bound of the run is grey.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
        x: The number on the horizontal axis: a metric that the run has a goal for, or "score".
            None is the first metric.
        y: The number on the vertical axis. None is the score or, if the score is no objective and
            two metrics are, the second metric.
    """
    drawing.check(result)
    check_goals(result.opening)
    across, up = _choose(result.opening.goals, x, y)
    axes = drawing.axes_for(ax)
    turns, goals = result.lineage().turns.values(), result.opening.goals
    ends = [
        end
        for end in find_ends(turns, result.account.measured, goals)
        if all(math.isfinite(value) for value in end.metrics.values())
    ]
    best = _find_front(result)
    is_whole = not best or result.front_is_whole
    on = "on" if is_whole else "kept of"
    said = f"{wording.count(len(ends), 'turn')}, {len(best):,} {on} the front"
    drawing.entitle(axes, result, said)
    axes.set(xlabel=_label(result, across), ylabel=_label(result, up))
    if not ends:
        return drawing.say(axes, "no turn has ended with finite values yet")
    places = _place(ends, across), _place(ends, up)
    chosen = _place(best, across), _place(best, up)
    sides = [
        _side(goal, every, its)
        for goal, every, its in zip((across, up), places, chosen, strict=True)
    ]
    handles = _draw_turns(axes, ends, *places)
    if best:
        label = "the front" if is_whole else "turns of the front that are kept"
        # With two objectives, a line parts what the front dominates from the rest. If only a part
        # of the front is kept, turns of the front lie beyond such a line.
        parts = is_whole and {across.name, up.name} == {goal.name for goal in objectives_of(goals)}
        handles += _draw_front(axes, across, *chosen, label=label, line=parts)
    handles += [*_draw_bounds(axes, sides), *_limit(axes, sides, *places)]
    drawing.legend(axes, handles)
    return axes


def pick_sides(goals: Sequence[Goal]) -> tuple[str, str]:
    """Return what is across and what is up, unless a call says it: a metric, and the score.

    If the score is no objective, these are the first two that are.
    """
    objectives = [goal.name for goal in objectives_of(goals)]
    metrics = [name for name in objectives if name != SCORE]
    if metrics == objectives and len(metrics) > 1:
        return metrics[0], metrics[1]
    metrics += [goal.name for goal in goals if goal.name not in {SCORE, *metrics}]
    return (metrics or [SCORE])[0], SCORE


def _choose(goals: Sequence[Goal], x: str | None, y: str | None) -> tuple[Goal, Goal]:
    known = {goal.name: goal for goal in (Goal(name=SCORE), *goals)}
    across, up = pick_sides(goals)
    names = across if x is None else x, up if y is None else y
    for name in names:
        if name not in known:
            raise UsageError(
                f"an axis must be one of what the run has goals for, {list(known)}, but got "
                f"{name!r}; plots.metric draws any metric over steps"
            )
    return known[names[0]], known[names[1]]


def _find_front(result: Result) -> Sequence[Snapshot]:
    try:
        return result.front()
    except NoBest:
        return ()


def _label(result: Result, goal: Goal) -> str:
    better = result.opening.mode if goal.name == SCORE else goal.better
    named = drawing.literal(goal.name)
    if better is None:
        return named
    return f"{named} ({'higher' if better == 'max' else 'lower'} is better)"


def _place(ends: Sequence[Ended | Snapshot], goal: Goal) -> Floats:
    """Return where ends are on an axis."""
    return np.array([drawable(_value(end.score, end.metrics, goal)) for end in ends], float)


def _value(score: float, metrics: Mapping[str, float], goal: Goal) -> float:
    return score if goal.name == SCORE else metrics[goal.name]


def _side(goal: Goal, every: Floats, chosen: Floats) -> _Side:
    """Return an axis that shows the front, the bounds, and turns that are not far off."""
    low, high = np.quantile(every, [FAR, 1 - FAR])
    bounds = [drawable(bound) for bound in (goal.at_least, goal.at_most) if bound is not None]
    shown = np.array([low, high, *chosen, *bounds])
    is_wide = shown.min() > 0 and shown.max() > WIDE * shown.min()
    scale = Scale(name=goal.name, log=bool(is_wide))
    if shown.min() == shown.max():
        return _Side(goal, scale, *scale.around(float(shown.min())))
    flat = scale.flat(shown)
    room = MARGIN * (flat.max() - flat.min())
    ends = np.array([flat.min() - room, flat.max() + room])
    low, high = 10**ends if scale.log else ends
    return _Side(goal, scale, float(low), float(high))


def _draw_turns(axes: Axes, ends: Sequence[Ended], x: Floats, y: Floats) -> list[Artist]:
    within = np.array([not end.violation for end in ends])
    trained = np.array([end.trained for end in ends], float)
    look: dict[str, Any] = {"s": 14, "linewidths": 0, "rasterized": len(ends) > RASTERIZED_DOTS}
    alpha = drawing.opacity(len(ends), most=0.9, least=0.25, at=400)
    handles: list[Artist] = []
    if not within.all():
        axes.scatter(x[~within], y[~within], color="0.7", alpha=alpha, zorder=1.5, **look)
        handles.append(_dot("0.7", "turns beyond a bound"))
    if within.any():
        dots = axes.scatter(
            x[within],
            y[within],
            c=trained[within],
            cmap=drawing.shades(),
            vmin=0.0,
            vmax=float(trained.max()),
            alpha=alpha,
            zorder=2,
            **look,
        )
        # Those of the dots would be as transparent.
        colours = ScalarMappable(dots.norm, dots.cmap)
        drawing.colour_bar(axes, colours).set_label("steps trained")
    return handles


def _draw_front(
    axes: Axes, across: Goal, x: Floats, y: Floats, *, label: str, line: bool
) -> list[Artist]:
    look: dict[str, Any] = {
        "color": "black",
        "marker": "o",
        "markerfacecolor": "white",
        "markeredgewidth": 1.4,
        "linestyle": "-" if line else "",
    }
    order = np.lexsort((y, x))
    style = "steps-post" if across.better == "min" else "steps-pre"
    axes.plot(x[order], y[order], drawstyle=style, linewidth=1.0, markersize=5.5, zorder=3, **look)
    return [Line2D([], [], label=label, **look)]


def _draw_bounds(axes: Axes, sides: Sequence[_Side]) -> Iterator[Artist]:
    """Draw the bounds of both axes, and shade what is beyond them."""
    drawn = False
    draw: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
        (axes.axvline, axes.axvspan),
        (axes.axhline, axes.axhspan),
    ]
    for side, (line, span) in zip(sides, draw, strict=True):
        for bound, end in ((side.goal.at_least, side.low), (side.goal.at_most, side.high)):
            if bound is None:
                continue
            drawn = True
            line(drawable(bound), color=drawing.COLOURS[2], linewidth=1.2, zorder=2.5)
            span(*sorted((drawable(bound), end)), color=SHADE, linewidth=0, zorder=0)
    if drawn:
        yield Line2D([], [], color=drawing.COLOURS[2], label="bound; beyond it is shaded")


def _limit(axes: Axes, sides: Sequence[_Side], x: Floats, y: Floats) -> Iterator[Artist]:
    across, up = sides
    if across.scale.log:
        axes.set_xscale("log")
    if up.scale.log:
        axes.set_yscale("log")
    axes.set(xlim=(across.low, across.high), ylim=(up.low, up.high))
    across.scale.mark(axes.xaxis, across.low, across.high)
    up.scale.mark(axes.yaxis, up.low, up.high)
    beyond = (x < across.low) | (x > across.high) | (y < up.low) | (y > up.high)
    if count := int(beyond.sum()):
        are = "is" if count == 1 else "are"
        yield drawing.remark(f"{wording.count(count, 'turn')} {are} beyond the axes")


def _dot(colour: str, label: str) -> Artist:
    return Line2D([], [], color=colour, marker="o", markersize=4, linestyle="", label=label)

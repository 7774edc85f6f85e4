"""The values of one hyperparameter over time, for each sub-population."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ramet.history import Result, Trained
from ramet.plots import drawing
from ramet.plots.bands import draw_bands, draw_others, draw_shares, each_member, is_crowd
from ramet.plots.scales import Scale, elsewhere, scale_of
from ramet.plots.story import (
    EVALUATORS,
    End,
    Point,
    behind_best,
    end_of,
    group_colours,
    groups_of,
    name_behind,
    start_of,
    stretches,
)
from ramet.plots.thinning import remark_left_out, thin

# The part of an option's place that members' lines spread over.
SPREAD = 0.7
# Of evaluators.
BAND, WIDTH = "0.86", 6.0


def hyperparameter(result: Result, name: str, ax: Axes | None = None) -> Axes:
    """Draw the values that members trained with, and in black those behind the best weights.

    Each sub-population has its own colour. Dots are FIRE's successes: there a member took the
    weights of an evaluator that had proved better (FIRE paper, figure 4a). With more than 24
    members, bands show the range of half of the members and of nine in ten. For options, heights
    show how many members have each.

    Args:
        result: The run, whether it is over or still going on.
        name: The hyperparameter. Lines have gaps where it is not there.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    scale = scale_of(result, name)
    axes = drawing.axes_for(ax)
    axes.set_xlabel("steps trained")
    drawing.entitle(axes, result, name)
    turns = result.lineage().turns
    if not turns:
        axes.set_ylabel(drawing.fit_up(axes, name))
        return drawing.say(axes, "no turn has ended yet")
    # Turns between two changes share their values.
    distinct = {id(hparams): hparams for hparams in turns.hparams}
    values = [hparams[name] for hparams in distinct.values() if name in hparams]
    if not values:
        axes.set_ylabel(drawing.fit_up(axes, name))
        return drawing.say(axes, "no turn was trained with it: its condition never held")
    places = scale.places(values)
    draw = _crowd if is_crowd(result) else _members
    handles = [*draw(axes, result, scale), *_best(axes, result, scale)]
    handles += [*_successes(axes, result, scale), *remark_left_out(result)]
    scale.set_up(axes, places.min(), places.max())
    drawing.legend(axes, [*handles, *elsewhere(values, "values")])
    axes.margins(x=0.02)
    return axes


def _members(axes: Axes, result: Result, scale: Scale) -> list[Artist]:
    paths: defaultdict[int, list[list[Point]]] = defaultdict(list)
    for turns in stretches(thin(result)):
        aside = _aside(turns[0].member, len(result.population), scale)
        path = [(step, place + aside) for step, place in stairs(turns, scale)]
        paths[result.opening.births[turns[0].member].group].append(path)
    handles: list[Artist] = []
    names = groups_of(result)
    alpha = drawing.opacity(round(len(result.population) / len(names) ** 0.5), at=20)
    for group, colour in group_colours(result).items():
        if names[group] == EVALUATORS:
            # They train with their references' values: a band behind those.
            band = dict.fromkeys(
                pair for path in paths[group] for pair in pairwise(path) if pair[0][1] == pair[1][1]
            )
            look = {"colors": BAND, "linewidths": WIDTH, "zorder": 1.5, "capstyle": "butt"}
            drawing.lines(axes, band, **look)
            handles.append(Line2D([], [], color=BAND, linewidth=WIDTH, label=names[group]))
            continue
        drawing.lines(axes, paths[group], colors=colour, linewidths=1.4, alpha=alpha)
        handles.append(Line2D([], [], color=colour, linewidth=2, label=names[group]))
    return drawing.some_of(handles)


def _crowd(axes: Axes, result: Result, scale: Scale) -> list[Artist]:
    """Draw the values of many members."""
    paths = each_member(thin(result), lambda turns: stairs(turns, scale))
    if scale.options:
        return draw_shares(axes, result, paths, scale)
    handles, *_ = draw_bands(axes, result, paths, stepped=True)
    return [*handles, *draw_others(axes, result, lambda turns: stairs(turns, scale))]


def _aside(member: int, members: int, scale: Scale) -> float:
    """Return how far off an option's place a member's line is, so that none hides another."""
    return SPREAD * ((member + 0.5) / members - 0.5) if scale.options else 0.0


def _best(axes: Axes, result: Result, scale: Scale) -> list[Artist]:
    behind = behind_best(result)
    if not behind:
        return []
    axes.plot(
        *zip(*stairs(behind, scale), strict=True),
        color="black",
        linewidth=1.8,
        path_effects=drawing.outline(3.6),
        zorder=3,
    )
    return [Line2D([], [], color="black", linewidth=1.8, label=name_behind(behind))]


def _successes(axes: Axes, result: Result, scale: Scale) -> list[Artist]:
    lineage = result.lineage()
    where = [
        (copy.trained, scale.find(turn.hparams))
        for copy in lineage.copies
        if copy.kind == "success" and copy.weights is not None
        for turn in [lineage.turns.get((copy.member, copy.turn))]
        if turn is not None
    ]
    if not where:
        return []
    steps, places = np.transpose(where)
    size = min(34.0, max(9.0, 1_500 / len(where)))
    axes.scatter(steps, places, size, "black", edgecolors="white", linewidths=0.8, zorder=4)
    return [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color="black",
            markeredgecolor="white",
            label="success: an evaluator proved better",
        )
    ]


def stairs(turns: Sequence[Trained], scale: Scale, end: End = end_of) -> list[Point]:
    """Return the values of consecutive turns as one line."""
    path: list[Point] = []
    for turn in turns:
        place, start, stop = scale.find(turn.hparams), start_of(turn, end), end(turn)
        if path and path[-1][1] == place:
            path[-1] = (float(stop), place)
            continue
        if path:
            path.append((start, path[-1][1]))
        path += [(start, place), (float(stop), place)]
    return path

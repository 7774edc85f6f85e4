"""The scores of all members, and who copied whom."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ramet import wording
from ramet.history import Result
from ramet.history.reported import sign_of
from ramet.plots import drawing
from ramet.plots.bands import draw_bands, draw_others, each_member, is_crowd
from ramet.plots.scales import FAR, Floats, Scale, elsewhere, scale_of_scores, usual
from ramet.plots.story import (
    EVALUATORS,
    Point,
    behind_best,
    better,
    copies_from,
    curve,
    group_colours,
    groups_of,
    name_behind,
    own_points,
    score_of,
    stretches,
)
from ramet.plots.thinning import remark_left_out, thin

# With at most this many scores, each is drawn as a dot, too.
DOTS = 600
# The most copies that are drawn.
COPIES = 3_000
# Lines of a lower opacity than this are also thinner.
FAINT_AT = 0.4
# Outliers are left out: scores this many times farther off than the usual ones are spread.
ODD = 1
# Scores behind the best that are farther off by less than this are within the axis nevertheless.
NEAR = 3
# The part of an axis above and below what it shows.
MARGIN = 0.05


def scores(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the scores of all members as they were reported, and their copies.

    Each member is a line. Where it copied another's weights, a dotted line leads from the score
    that it gave up to the one that it took. The black line is the history of the best weights. With
    more than 24 members, bands show the range of half of the members and of nine in ten, and three
    members have a line.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    axes = drawing.axes_for(ax)
    axes.set(xlabel="steps trained", ylabel="score")
    drawing.entitle(axes, result, _summary(result))
    if not result.lineage().turns:
        return drawing.say(axes, "no turn has ended yet")
    paths = _paths(result)
    shown = np.array([y for each in paths.values() for path in each for _, y in path])
    if not np.isfinite(shown).any():
        return drawing.say(axes, "no score is finite")
    sign = sign_of(result.opening.mode)
    scale = scale_of_scores(shown, sign)
    if is_crowd(result):
        handles, inner, outer = _bands(axes, result)
        # Evaluators have no band, even if no other member has a score.
        inner = inner if len(inner) else shown
    else:
        handles, inner = [*members(axes, result, paths), *_copies(axes, result)], shown
        outer = np.array([])
    behind = behind_best(result)
    path = [point for turn in behind for point in curve([turn], result.lineage())]
    handles += best(axes, path, name_behind(behind)) if behind else []
    scale.set_up(axes, float(np.nanmin(shown)), float(np.nanmax(shown)))
    axes.set_ylabel(f"score ({better(result)})")
    reported = result.lineage().turns.each_score()
    within = _stretch(scale, usual(inner, sign, FAR), [*outer, *(score for _, score in path)])
    beyond = limit(axes, scale, shown, within, "worse score")
    remarks = [*beyond, *elsewhere(reported, "scores"), *remark_left_out(result)]
    drawing.legend(axes, [*handles, *remarks])
    return axes


def _summary(result: Result) -> str:
    population = result.population
    members = wording.count(len(population), "member")
    copies = f", {wording.count(population.copies, 'copy')}" if population.copies else ""
    return members + copies


def _paths(result: Result) -> dict[int, list[list[Point]]]:
    """Return lines of scores by their members' group."""
    lineage = thin(result)
    paths: defaultdict[int, list[list[Point]]] = defaultdict(list)
    for turns in stretches(lineage):
        group = result.opening.births[turns[0].member].group
        paths[group].append(curve(turns, lineage))
    return paths


def members(axes: Axes, result: Result, paths: dict[int, list[list[Point]]]) -> list[Artist]:
    """Draw lines of members by their group; return what explains them."""
    handles: list[Artist] = []
    alpha = drawing.opacity(len(result.population), least=0.06)
    width = 1.2 if alpha > FAINT_AT else 0.7
    names = groups_of(result)
    colours = group_colours(result)
    for group, colour in colours.items():
        drawn = paths[group]
        level = 1.8 if names[group] == EVALUATORS else 2.0
        look = {"alpha": alpha, "linewidths": width, "zorder": level}
        drawing.lines(axes, drawn, colors=colour, **look)
        points = [point for path in drawn for point in path]
        if points and len(points) <= DOTS:
            axes.plot(*zip(*points, strict=True), ".", color=colour, markersize=3.5, zorder=2.1)
        handles.append(Line2D([], [], color=colour, label=names[group]))
    return drawing.some_of(handles)


def _copies(axes: Axes, result: Result) -> list[Artist]:
    lineage = result.lineage()
    drops = [
        [(last.trained, score_of(last)), (copy.trained, score_of(taken))]
        for copy, last, taken in copies_from(lineage, COPIES)
    ]
    if not drops:
        return []
    alpha = drawing.opacity(len(drops), most=0.8, least=0.15, at=150)
    look = {"colors": drawing.MOVED, "linestyles": ":", "zorder": 1.5}
    drawing.lines(axes, drops, alpha=alpha, linewidths=0.8, **look)
    of = f" ({len(drops):,} of {len(lineage.copies):,})" if len(lineage.copies) > COPIES else ""
    return [Line2D([], [], color=drawing.MOVED, linestyle=":", linewidth=1, label=f"copies{of}")]


def _bands(axes: Axes, result: Result) -> tuple[list[Artist], Floats, Floats]:
    """Draw the scores of many members; return what explains them, and the edges of bands."""
    lineage = thin(result)
    paths = each_member(lineage, lambda turns: [it for turn in turns for it in own_points(turn)])
    handles, inner, outer = draw_bands(axes, result, paths)
    others = draw_others(axes, result, lambda turns: [it for t in turns for it in own_points(t)])
    return [*handles, *others], inner, outer


def _stretch(
    scale: Scale, between: tuple[float, float], more: Sequence[float]
) -> tuple[float, float]:
    """Return bounds that hold more scores as well, unless these are far off."""
    low, high = scale.flat(between)
    its = scale.flat(np.array([score for score in more if np.isfinite(score)]))
    room = NEAR * (high - low)
    near = its[(its >= low - room) & (its <= high + room)]
    ends = np.array([min([low, *near]), max([high, *near])])
    low, high = 10**ends if scale.log else ends
    return float(low), float(high)


def best(axes: Axes, path: list[Point], label: str) -> list[Artist]:
    """Draw the line that leads to the best weights; return what explains it, with a label."""
    axes.plot(
        *zip(*path, strict=True),
        color="black",
        linewidth=1.6,
        path_effects=drawing.outline(3.2),
        zorder=3,
    )
    axes.plot(*path[-1], "*", color="black", markersize=11, markeredgecolor="white", zorder=4)
    return [Line2D([], [], color="black", marker="*", label=label)]


def limit(
    axes: Axes, scale: Scale, shown: Floats, between: tuple[float, float], thing: str
) -> list[Artist]:
    """Leave out values so far from the usual ones that the rest would look the same."""
    low, high = scale.flat(between)
    flat = scale.flat(shown[np.isfinite(shown)])
    room = high - low
    if max(low - flat.min(), flat.max() - high) <= ODD * room:
        return []
    low, high = low - MARGIN * room, high + MARGIN * room
    axes.set_ylim(*(10 ** np.array([low, high]) if scale.log else (low, high)))
    left_out = int(((flat < low) | (flat > high)).sum())
    are = "is" if left_out == 1 else "are"
    return [drawing.remark(f"{wording.count(left_out, thing)} {are} beyond the axis")]

"""Many members as bands that parts of them lie in, with some lines among them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ramet.history import Lineage, Result, Trained
from ramet.history.reported import sign_of
from ramet.plots import drawing
from ramet.plots.scales import Floats, Scale
from ramet.plots.story import CONTROL, EVALUATORS, Point, group_colours, groups_of
from ramet.plots.thinning import thin

# More members than this are drawn as bands.
MANY = 24
# The parts of the members that bands hold.
HALF, MOST = (0.25, 0.75), (0.05, 0.95)
# Times at which members are compared.
TIMES = 300
# More sub-populations than this have one band together, but for the first.
GROUPS = 5
# Single members that are drawn, by the part of the others that is better.
OTHERS = {0.25: "better than 3 of 4", 0.5: "better than half", 0.75: "better than 1 of 4"}
# The part of an option's place that its shares fill.
FILLED = 0.8
OTHER_LOOK: dict[str, Any] = {"color": "0.3", "linewidth": 0.9}
DASHES = ((4, 1.5), (5, 1.5, 1, 1.5), (5, 1.5, 1, 1.5, 1, 1.5))


class Band(NamedTuple):
    """Some members, as one band."""

    label: str
    colour: Any
    members: Sequence[int]


def is_crowd(result: Result) -> bool:
    """Return whether a run has too many members for a line each."""
    return len(result.population) > MANY


def bands_of(result: Result) -> list[Band]:
    """Return the members that bands are drawn of, by sub-population; evaluators have none."""
    names = groups_of(result)
    groups = [group for group in names if names[group] != EVALUATORS]
    colours = group_colours(result)
    its: dict[int, list[int]] = {group: [] for group in names}
    for member, birth in enumerate(result.opening.births):
        its[birth.group].append(member)
    if len(groups) <= GROUPS:
        return [Band(names[group], colours[group], its[group]) for group in groups]
    first, *rest = groups
    merged = [member for group in rest for member in its[group]]
    label = f"{names[rest[0]]} to {names[rest[-1]]}"
    return [
        Band(names[first], drawing.COLOURS[1], its[first]),
        Band(label, drawing.COLOURS[2], merged),
    ]


def each_member(
    lineage: Lineage, path: Callable[[Sequence[Trained]], list[Point]]
) -> dict[int, list[Point]]:
    """Return the path through all turns of each member."""
    by_member: dict[int, list[Trained]] = {}
    for turn in lineage.turns.values():
        by_member.setdefault(turn.member, []).append(turn)
    return {member: path(turns) for member, turns in by_member.items()}


def sample(paths: Sequence[Sequence[Point]], times: Floats) -> Floats:
    """Return where each path is at some times: a row for each; NaN before and behind it."""
    rows = np.full((len(paths), len(times)), np.nan)
    for row, path in zip(rows, paths, strict=True):
        if path:
            steps, places = np.array(path, float).T
            nth = np.searchsorted(steps, times, side="right") - 1
            there = (nth >= 0) & (times <= steps[-1])
            row[there] = places[nth[there]]
    return rows


def choose_times(paths: Mapping[int, Sequence[Point]]) -> Floats:
    """Return the times at which paths have points, or some of them."""
    times = np.unique([step for path in paths.values() for step, _ in path])
    chosen: Floats = times[np.unique(np.linspace(0, len(times) - 1, TIMES).round().astype(int))]
    return chosen


def draw_bands(
    axes: Axes, result: Result, paths: Mapping[int, Sequence[Point]], *, stepped: bool = False
) -> tuple[list[Artist], Floats, Floats]:
    """Draw what parts of the members lie in; return what explains it, and both bands' edges."""
    times, drawn = choose_times(paths), bands_of(result)
    handles: list[Artist] = []
    inner: list[Floats] = [np.array([])]
    outer: list[Floats] = [np.array([])]
    alone = len([band for band in drawn if band.label != CONTROL]) == 1
    for band in drawn:
        its = sample([paths[member] for member in band.members if member in paths], times)
        held = np.isfinite(its).any(axis=0)
        if not held.any():
            continue
        at, (low, first, middle, third, high) = times[held], quantiles(its[:, held])
        look: dict[str, Any] = {"color": band.colour, "linewidth": 0, "zorder": 1.5}
        look |= {"step": "post"} if stepped else {}
        line: dict[str, Any] = {"color": band.colour, "linewidth": 1.5}
        style = "steps-post" if stepped else "default"
        axes.plot(at, middle, drawstyle=style, zorder=2.2, **line)
        if len(band.members) == 1:
            handles.append(Line2D([], [], **line, label=band.label))
            outer.append(middle)
            continue
        axes.fill_between(at, first, third, alpha=0.32, **look)
        if alone:
            axes.fill_between(at, low, high, alpha=0.18, **look)
            handles += [
                Patch(color=band.colour, alpha=0.18, label=f"9 of 10 {band.label}"),
                Patch(color=band.colour, alpha=0.45, label=f"half of {band.label}"),
                Line2D([], [], **line, label="median"),
            ]
        else:
            handles.append(Patch(color=band.colour, alpha=0.5, label=f"{band.label}: half, median"))
        inner += [first, third]
        outer += [low, high] if alone else []
    axes.autoscale_view()
    return handles, np.concatenate(inner), np.concatenate(outer)


def quantiles(its: Floats) -> Floats:
    """Return the edges and the middle of bands at each time, of the values that are finite."""
    # At a value that is there, because the middle of two on a log axis would be another.
    found: Floats = np.nanquantile(
        its, [MOST[0], HALF[0], 0.5, HALF[1], MOST[1]], axis=0, method="closest_observation"
    )
    return found


def draw_shares(
    axes: Axes, result: Result, paths: Mapping[int, Sequence[Point]], scale: Scale
) -> list[Artist]:
    """Draw which part of the members has each option, as heights; return what explains it."""
    times, drawn = choose_times(paths), bands_of(result)
    every = sum(len(band.members) for band in drawn)
    tops = [nth - FILLED / 2 + np.zeros(len(times)) for nth in range(len(scale.options))]
    handles: list[Artist] = []
    for band in drawn:
        its = sample([paths[member] for member in band.members if member in paths], times)
        for nth, bottom in enumerate(tops):
            top = bottom + FILLED * (its == nth).sum(axis=0) / every
            axes.fill_between(
                times, bottom, top, step="post", color=band.colour, alpha=0.5, linewidth=0
            )
            tops[nth] = top
        whose = "" if len(drawn) == 1 else f" that are in {band.label}"
        handles.append(
            Patch(color=band.colour, alpha=0.5, label=f"height: part of the members{whose}")
        )
    return handles


def draw_others(
    axes: Axes, result: Result, path: Callable[[Sequence[Trained]], list[Point]]
) -> list[Artist]:
    """Draw what led to some other members' weights; return what explains it."""
    lineage = thin(result)
    sign = sign_of(result.opening.mode)
    scored = sorted(
        (-sign * (member.weights_score or 0.0), member.id)
        for member in result.population
        if member.weights_score is not None
        and any(member.id in b.members for b in bands_of(result))
    )
    chosen: dict[int, str] = {}
    for part, rank in OTHERS.items() if scored else ():
        chosen.setdefault(scored[round(part * (len(scored) - 1))][1], rank)
    handles: list[Artist] = []
    for (member, rank), dashes in zip(chosen.items(), DASHES, strict=False):
        turns = lineage.ancestors(member)
        if turns:
            look = {**OTHER_LOOK, "linestyle": (0, dashes)}
            axes.plot(*zip(*path(turns), strict=True), **look, zorder=2.4)
            said = f"history of member {member}'s weights, {rank}"
            handles.append(Line2D([], [], **look, label=said))
    return handles

"""The family tree of all weights, as in the PBT paper."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D

from ramet.history import Lineage, Result, Trained
from ramet.history.reported import sign_of
from ramet.history.turns import Key
from ramet.plots import drawing
from ramet.plots.branches import Branch, count_descendants, tree_of
from ramet.plots.scales import Extend, Scale, elsewhere, scale_of, scale_of_scores, shade
from ramet.plots.story import behind_best, better, name_behind, score_of, turns_of
from ramet.plots.thinning import remark_left_out, thin

# The tree is coloured by this unless a hyperparameter is named.
SCORE = "score"
# Inches.
SIZE = (9.0, 6.0)
# The colour of turns without the hyperparameter that colours show.
NOT_THERE = drawing.GREY
# With at most this many turns, each has a dot as well.
DOTS = 1_200
# With at most this many first weights, each is named.
NAMED = 24
# Names have at least this part of the height between them.
APART = 0.03

Branches = Mapping[Key, Branch]


class Shading(NamedTuple):
    """What colours say of each turn."""

    scale: Scale
    places: dict[Key, float]
    norm: Normalize
    shades: Colormap
    extend: Extend


def tree(result: Result, color: str = SCORE, ax: Axes | None = None) -> Axes:
    """Draw where all weights come from: each turn is a line to the right, copies are branches.

    Lines are strong if some member still has weights that go back to them, and faint if not. The
    colour is the score that a turn ended with, or the value of a hyperparameter.

    Args:
        result: The run, whether it is over or still going on.
        color: "score", or the name of a hyperparameter.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    if color != SCORE:
        scale_of(result, color)
    axes = drawing.axes_for(ax, size=SIZE)
    axes.set(xlabel="steps trained", yticks=[])
    axes.spines["left"].set_visible(False)
    drawing.entitle(axes, result, "whose weights live on")
    if not result.lineage().turns:
        return drawing.say(axes, "no turn has ended yet")
    lineage = thin(result)
    standing = count_descendants(lineage)
    grown = tree_of(lineage, standing)
    shading = _shading(result, color)
    _turns(axes, lineage, standing, grown, shading)
    handles = _best(axes, behind_best(result, lineage), grown, shading)
    handles += _name_founders(axes, lineage, standing, grown)
    axes.set_ylim(-0.01, 1.01)
    axes.margins(x=0.02)
    drawn = ScalarMappable(shading.norm, shading.shades)
    said = f"score ({better(result)})" if color == SCORE else color
    replace(shading.scale, name=said).explain(axes, drawn, shading.extend)
    coloured = [
        turn.score if color == SCORE else turn.hparams.get(color) for turn in turns_of(lineage)
    ]
    if color != SCORE and None in coloured and np.isnan([*shading.places.values()]).any():
        handles.append(Line2D([], [], color=NOT_THERE, linewidth=2, label=f"without {color}"))
    remarks = [*elsewhere(coloured, "values"), *remark_left_out(result)]
    drawing.legend(axes, [*_strengths(shading), *handles, *remarks])
    return axes


def _shading(result: Result, color: str) -> Shading:
    turns, sign = turns_of(thin(result)), sign_of(result.opening.mode)
    extend: Extend = "neither"
    if color == SCORE:
        places = np.array([score_of(turn) for turn in turns])
        scale = scale_of_scores(places, sign)
        norm, extend = shade(scale, places, sign)
        shades = drawing.shades(best=sign)
    else:
        scale = scale_of(result, color)
        places = np.array([scale.find(turn.hparams) for turn in turns])
        norm, shades = scale.norm(places), scale.shades().with_extremes(bad=NOT_THERE)
    by_turn = {turn.key: float(place) for turn, place in zip(turns, places, strict=True)}
    return Shading(scale, by_turn, norm, shades, extend)


def _turns(
    axes: Axes, lineage: Lineage, standing: Counter[Key], grown: Branches, shading: Shading
) -> None:
    # Points that each member's branch has.
    members = len(lineage.opening.births)
    room = axes.get_window_extent().height / drawing.figure_of(axes).dpi * drawing.POINTS / members
    turns = turns_of(lineage)
    lives = [turn for turn in turns if turn.key in standing]
    died = [turn for turn in turns if turn.key not in standing]
    _draw(axes, died, grown, shading, alpha=0.6, width=_within(0.3 * room, 0.4, 1.1))
    _draw(axes, lives, grown, shading, alpha=1.0, width=_within(0.5 * room, 0.9, 2.4))


def _draw(
    axes: Axes,
    turns: Sequence[Trained],
    grown: Branches,
    shading: Shading,
    *,
    alpha: float,
    width: float,
    level: float = 2.0,
) -> None:
    drawn = [grown[turn.key].path for turn in turns]
    places = np.array([shading.places[turn.key] for turn in turns])
    look: dict[str, Any] = {"norm": shading.norm, "cmap": shading.shades, "alpha": alpha}
    collection = drawing.lines(
        axes, drawn, **look, linewidths=width, capstyle="round", zorder=level + alpha
    )
    collection.set_array(places)
    if len(shading.places) <= DOTS and drawn:
        x, y = np.transpose([grown[turn.key].end for turn in turns])
        size = (2.2 * width) ** 2
        axes.scatter(x, y, size, places, **look, linewidths=0, zorder=level + alpha)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _best(axes: Axes, behind: Sequence[Trained], grown: Branches, shading: Shading) -> list[Artist]:
    """Outline the turns behind the best weights, and keep their colours visible."""
    if not behind:
        return []
    through = _through(behind, grown)
    drawn = [branch.path for branch in through.values()]
    drawing.lines(axes, drawn, colors="black", linewidths=4.4, capstyle="round", zorder=3.5)
    _draw(axes, behind, through, shading, alpha=1.0, width=2.2, level=3.0)
    end = through[behind[-1].key].end
    axes.plot(*end, "*", color="black", markersize=13, markeredgecolor="white", zorder=5)
    return [Line2D([], [], color="black", marker="*", linewidth=3, label=name_behind(behind))]


def _through(behind: Sequence[Trained], grown: Branches) -> Branches:
    """Return the branches of turns, each as long as it waited for the next."""
    starts = [grown[turn.key].path[0] for turn in behind[1:]]
    found = {}
    for turn, start in zip(behind, [*starts, None], strict=True):
        path, end = grown[turn.key]
        last = path.index(start if start in path else end, 1)
        found[turn.key] = Branch(path[: last + 1], end)
    return found


def _name_founders(
    axes: Axes, lineage: Lineage, standing: Counter[Key], grown: Branches
) -> list[Artist]:
    """Name the members that first weights belong to, beside them; return what explains it.

    If there is no room for all, those are named whose weights live on.
    """
    first = [turn for turn in turns_of(lineage) if turn.origin is None]
    living = [turn for turn in first if turn.key in standing]
    named = first if len(first) <= NAMED else living
    heights: list[float] = []
    # The names of those that live on come first, and others where there is room.
    for turn in sorted(named, key=lambda turn: -standing[turn.key]):
        height = grown[turn.key].path[0][1]
        if any(abs(height - other) < APART for other in heights):
            continue
        heights.append(height)
        axes.annotate(
            f"member {turn.member}",
            grown[turn.key].path[0],
            (-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize="small",
            color="black" if turn.key in standing else "0.45",
        )
    alive = f"{len(living):,} of {len(first):,} live on"
    if len(heights) < len(named):
        alive += f", {len(heights):,} are named"
    said = f"at the left: which member began with these weights; {alive}"
    return [drawing.remark(said), drawing.remark("heights mean nothing")]


def _strengths(shading: Shading) -> list[Artist]:
    shade = shading.shades(0.5)
    return [
        Line2D([], [], color=shade, linewidth=2.4, label="lives on in a member"),
        Line2D([], [], color=shade, linewidth=0.8, alpha=0.6, label="died out"),
    ]

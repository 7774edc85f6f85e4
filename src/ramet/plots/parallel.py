"""All members at once: their hyperparameters and their score, on an axis each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, to_rgba
from matplotlib.lines import Line2D

from ramet import wording
from ramet.history import Result, Trained
from ramet.history.reported import sign_of
from ramet.plots import drawing
from ramet.plots.bands import is_crowd
from ramet.plots.scales import (
    FAR,
    Floats,
    Scale,
    elsewhere,
    moving,
    scale_of,
    scale_of_scores,
    shade,
    usual,
)
from ramet.plots.story import score_of
from ramet.space import Hparams

# The height at which lines pass an axis that they have no value on.
NOT_THERE = -0.12
# The part of an option's place that lines spread over.
SPREAD = 0.5
# The part of all that the colours beside the scores have.
WIDTH = 0.015
# The width of the colours beside the scores.
STRIPES = 200
# Inches.
WIDEST = 16.0
# Hyperparameters and the score: with fewer axes, a line says nothing.
LEAST_AXES = 3
# The part of many members that has colours, and the colours of the others and of first values.
COLOURED = 0.1
OTHERS, BEGAN = drawing.GREY, drawing.GREY
# Letters of names side by side that there is room for in an inch.
LETTERS = 9
# The part of the width that a name has.
NAMES = 0.3
# Lines of text that a letter of a slanted name takes.
SLANT = 0.24


def parallel(result: Result, ax: Axes | None = None, *, names: Sequence[str] | None = None) -> Axes:
    """Draw each member as a line through the hyperparameters and the score of its last turn.

    What it began with is grey. The best line is on top. A line passes below the axis of a
    hyperparameter that its member does not have. Of more than 24 members, the best tenth has
    colours, the others are grey, and what they began with is left out. It takes at least two
    hyperparameters that are not constant.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
        names: The hyperparameters to show; without them, all that are not constant.
    """
    drawing.check(result)
    sign = sign_of(result.opening.mode)
    last = _last_turns(result)
    reached = np.array([score_of(turn) for turn in last])
    score = scale_of_scores(reached, sign)
    every = moving(result)
    shown = every if names is None else [scale_of(result, name) for name in names]
    scales = [*shown, score]
    axes = drawing.axes_for(ax, size=(min(max(6.5, 1.7 * len(scales)), WIDEST), 4.8))
    members = wording.count(len(result.population), "member")
    drawing.entitle(axes, result, f"{members} as of now")
    if not last:
        return drawing.say(axes, "no turn has ended with a finite score yet")
    if len(scales) < LEAST_AXES:
        return drawing.say(
            axes, "with one hyperparameter, see plots.hyperparameter and plots.scores"
        )
    columns, begun, bottom = [], [], -0.04
    for scale in scales[:-1]:
        now = _places(scale, [turn.hparams for turn in last])
        first = _places(scale, [result.opening.births[turn.member].hparams for turn in last])
        low, high = _limits(scale, np.concatenate([now, first]))
        columns.append(_heights(scale, now, low, high))
        begun.append(_heights(scale, first, low, high))
        _axis(axes, scale, len(columns) - 1, low, high)
        if np.isnan(np.concatenate([now, first])).any():
            _write(axes, "not there", len(columns) - 1, NOT_THERE)
            bottom = NOT_THERE - 0.04
    low, high = _limits(score, np.array(usual(reached, sign, FAR)))
    columns.append(np.clip(_heights(score, reached, low, high), 0.0, 1.0))
    _axis(axes, score, len(scales) - 1, low, high)
    parts = np.clip(shade(score, reached, sign)[0](reached), 0.0, 1.0)
    shades = drawing.shades(best=sign)
    colours = shades(parts)
    if is_crowd(result):
        colours[: -max(1, round(COLOURED * len(last)))] = to_rgba(OTHERS)
    _lines(axes, np.array([] if is_crowd(result) else begun).T, np.array(columns).T, colours)
    _strip(axes, len(scales) - 1, columns[-1], parts, shades)
    _point_to_better(axes, len(scales) - 1, sign)
    values = [value for turn in last for value in (*turn.hparams.values(), turn.score)]
    far = int(((reached < low) | (reached > high)).sum())
    fewer = _remark_fewer(len(every) - len(shown))
    remarks = [*elsewhere(values, "values"), *_remark_far(far), *fewer]
    handles = _explain(len(last), crowd=is_crowd(result))
    _arrange(axes, scales, len(result.population) - len(last), [*handles, *remarks])
    axes.set_ylim(bottom, 1.04)
    return axes


def _last_turns(result: Result) -> list[Trained]:
    """Return the last turn of each member that has a score, the best one last."""
    sign = sign_of(result.opening.mode)
    scored = [turn for turn in result.lineage().turns.last() if turn.score is not None]
    return sorted(scored, key=lambda turn: (sign * (turn.score or 0.0), -turn.member))


def _places(scale: Scale, all_hparams: Sequence[Hparams]) -> Floats:
    """Return where values are; those of one option are spread, so that none hides another."""
    members = len(all_hparams)
    places = np.array([scale.find(hparams) for hparams in all_hparams])
    if scale.options:
        places += SPREAD * ((np.arange(members) + 0.5) / members - 0.5)
    return places


def _limits(scale: Scale, places: Floats) -> tuple[float, float]:
    if scale.options:
        return -0.5, len(scale.options) - 0.5
    places = places[np.isfinite(places)]
    if not len(places):
        return scale.around(1.0)
    low, high = float(places.min()), float(places.max())
    if low < high:
        return low, high
    return scale.around(low)


def _heights(scale: Scale, places: Floats, low: float, high: float) -> Floats:
    bottom, top = scale.flat(low), scale.flat(high)
    heights: Floats = (scale.flat(places) - bottom) / (top - bottom)
    return np.where(np.isnan(heights), NOT_THERE, heights)


def _axis(axes: Axes, scale: Scale, x: int, low: float, high: float) -> None:
    """Draw one of the axes, with values beside it."""
    axes.axvline(x, color="0.25", linewidth=1.0, zorder=3)
    ticks = scale.ticks(low, high)
    for tick, said in zip(ticks, scale.texts(ticks), strict=True):
        height = float(_heights(scale, np.array(tick), low, high))
        axes.plot([x - 0.015, x], [height] * 2, color="0.25", linewidth=1.0, zorder=3)
        _write(axes, said, x, height)


def _write(axes: Axes, text: str, x: int, height: float) -> None:
    axes.annotate(
        text,
        (x, height),
        (-5, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="small",
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
        zorder=4,
    )


def _lines(axes: Axes, begun: Floats, now: Floats, colours: Floats) -> None:
    alpha = drawing.opacity(len(now), at=30, least=0.2)
    looks: list[tuple[Floats, dict[str, Any]]] = [
        (begun, {"colors": BEGAN, "linewidths": 0.8, "zorder": 1, "alpha": alpha}),
        (now, {"colors": colours, "linewidths": 1.3, "zorder": 2, "alpha": max(alpha, 0.5)}),
    ]
    for heights, look in looks:
        ranks = np.arange(heights.shape[-1])
        paths = [np.column_stack([ranks, each]) for each in heights]
        drawing.lines(axes, paths, **look)
    axes.plot(
        range(now.shape[1]),
        now[-1],
        color="black",
        linewidth=2,
        path_effects=drawing.outline(4),
        zorder=2.5,
    )


def _strip(axes: Axes, x: int, heights: Floats, parts: Floats, shades: Colormap) -> None:
    """Draw beside the axis of scores which colour is which."""
    order = np.argsort(heights)
    steps = np.linspace(0.0, 1.0, STRIPES)
    colours = np.interp((steps[:-1] + steps[1:]) / 2, heights[order], parts[order])
    # With edges, because renderers leave white lines between areas that only touch.
    look: dict[str, Any] = {"cmap": shades, "edgecolors": "face", "linewidth": 0.4}
    axes.pcolormesh([x, x + WIDTH * x], steps, colours[:, None], vmin=0, vmax=1, **look)


def _point_to_better(axes: Axes, x: int, sign: int) -> None:
    """Write beside the axis of scores which end is better."""
    axes.text(
        *(x + WIDTH * x + 0.03, 0.5, "better →"),
        rotation=90 * sign,
        ha="left",
        va="center",
        fontsize="small",
    )


def _explain(members: int, *, crowd: bool) -> list[Artist]:
    best = Line2D([], [], color="black", linewidth=2, label="best member now")
    if not crowd:
        return [best, Line2D([], [], color=BEGAN, label="what members began with")]
    coloured = f"the best {max(1, round(COLOURED * members)):,} have the score's colour"
    grey = Line2D([], [], color=OTHERS, label="other members")
    return [best, drawing.remark(coloured), grey]


def _remark_far(count: int) -> list[Artist]:
    are = "is" if count == 1 else "are"
    said = f"{wording.count(count, 'worse score')} {are} at the axis's end"
    return [drawing.remark(said)] if count else []


def _remark_fewer(count: int) -> list[Artist]:
    said = f"without {wording.count(count, 'other hyperparameter')}"
    return [drawing.remark(said)] if count > 0 else []


def _arrange(
    axes: Axes, scales: Sequence[Scale], left_out: int, explained: Sequence[Artist]
) -> None:
    axes.set(xlim=(-0.35, len(scales) - 0.8), yticks=[])
    names = [drawing.fit_across(axes, scale.name, NAMES) for scale in scales]
    room = axes.get_window_extent().width / drawing.figure_of(axes).dpi * LETTERS
    is_slanted = len(scales) * max(map(len, names)) > room
    axes.set_xticks(range(len(scales)), names)
    if is_slanted:
        axes.set_xticks(range(len(scales)), names, rotation=25, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
    handles = list(explained)
    if left_out:
        members = wording.count(left_out, "member")
        handles.append(drawing.remark(f"without {members} of no finite score"))
    below = 2.4 + is_slanted * SLANT * max(map(len, names))
    drawing.legend(axes, handles, below=below)

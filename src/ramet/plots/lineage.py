"""Where the best weights came from: who trained them, with what, and how they scored."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ramet import wording
from ramet.history import Result, Trained
from ramet.history.reported import sign_of
from ramet.plots import drawing
from ramet.plots.hyperparameter import stairs
from ramet.plots.scales import Scale, format_number, moving, scale_of, scale_of_scores
from ramet.plots.story import Point, behind_best, better, curve

# Where on the vertical axis something is written.
Tick = tuple[float, str]

# The part of a row that its line has; names stand above it.
HEIGHT = 0.62
# Significant digits of the best score.
TITLED = 6
# Inches of a row.
ROW = 0.85
# Up to this many moves from one member to another have a line each.
MOVES = 400
# A digit's width, the room around a number in a bar, and that between two steps that are written,
# in the size of text.
DIGIT, ROOM, APART = 0.64, 0.3, 2.0


def lineage(result: Result, ax: Axes | None = None, *, names: Sequence[str] | None = None) -> Axes:
    """Draw the history of the best weights, in a row for each hyperparameter, and for the score.

    The top row shows which member trained them. A row has a gap where its hyperparameter is not
    there. A dotted line shows that the weights went from one member to another. If there are too
    many such lines to draw, the title says how many.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
        names: The hyperparameters to show; without them, all that are not constant.
    """
    drawing.check(result)
    scales = moving(result) if names is None else [scale_of(result, name) for name in names]
    axes = drawing.axes_for(ax, size=(drawing.SIZE[0], 1.6 + ROW * (len(scales) + 1.5)))
    axes.set_xlabel("step")
    behind = behind_best(result)
    if not behind:
        drawing.entitle(axes, result, "history of the best weights")
        return drawing.say(axes, "no turn has ended with a finite score yet")
    top = len(scales) + 1
    moved = [turn.start for before, turn in pairwise(behind) if before.member != turn.member]
    said = f"history of the best weights, score {format_number(result.best.score, TITLED)}"
    if len(moved) > MOVES:
        said += f", {wording.count(len(moved), 'move')} between members"
    else:
        axes.vlines(moved, -0.1, top, drawing.MOVED, linewidth=0.8, linestyle=":", zorder=1)
        if moved:
            dotted = Line2D([], [], color=drawing.MOVED, linewidth=0.8, linestyle=":")
            dotted.set_label("weights copied to another member")
            drawing.legend(axes, [dotted])
    drawing.entitle(axes, result, said)
    ticks = _score(axes, result, behind)
    for row, scale in enumerate(reversed(scales), 1):
        ticks += _row(axes, row, scale, stairs(behind, scale, _stop), drawing.COLOURS[1])
    _members(axes, behind, top)
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks], fontsize="small")
    axes.set(ylim=(-0.1, top + 0.65), xlim=(0, behind[-1].stop))
    _mark_steps(axes, behind[-1].stop)
    axes.spines["left"].set_visible(False)
    return axes


def _score(axes: Axes, result: Result, behind: Sequence[Trained]) -> list[Tick]:
    sign = sign_of(result.opening.mode)
    path = [point for turn in behind for point in curve([turn], result.lineage(), _stop)]
    scale = scale_of_scores(np.array(path)[:, 1], sign)
    named = replace(scale, name=f"score ({better(result)})")
    return _row(axes, 0, named, path, "black")


def _stop(turn: Trained) -> int:
    return turn.stop


def _row(axes: Axes, row: int, scale: Scale, path: list[Point], colour: str) -> list[Tick]:
    """Draw a line in a row of its own; return where values are to be written."""
    steps, places = np.array(path).T
    finite = places[np.isfinite(places)]
    _frame(axes, row, f"{scale.name}, log scale" if scale.log else scale.name, colour)
    if not len(finite):
        return [(row + HEIGHT / 2, "not there")]
    low, high = finite.min(), finite.max()
    bottom, top = scale.flat(low), scale.flat(high)
    width = float(top - bottom) or 1.0

    def height(place: np.ndarray | float) -> np.ndarray:
        part = (scale.flat(place) - bottom) / width if top > bottom else 0.5 + 0 * scale.flat(place)
        return row + HEIGHT * part

    # One point alone makes no line.
    mark = "o" if len(finite) == 1 else ""
    axes.plot(steps, height(places), color=colour, linewidth=1.8, marker=mark, zorder=2)
    written = sorted({low, high} | (set(finite) if scale.options else set()))
    said = scale.texts(written)
    return [(float(height(place)), text) for place, text in zip(written, said, strict=True)]


def _frame(axes: Axes, row: int, name: str, colour: str) -> None:
    """Draw what a row stands on, and its name."""
    axes.axhspan(row - 0.06, row + HEIGHT + 0.06, color="0.96", linewidth=0, zorder=0)
    axes.text(
        *(0.005, row + HEIGHT + 0.08, drawing.fit_across(axes, name)),
        transform=axes.get_yaxis_transform(),
        # A long name is not to make the plot narrow.
        in_layout=False,
        va="bottom",
        color=colour,
        weight="bold",
        fontsize="small",
    )


def _mark_steps(axes: Axes, last: int) -> None:
    """Write steps on the axis, as many as have room."""
    size = FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()
    room = drawing.width_of(axes) * drawing.POINTS / size
    count = int(room / (APART + DIGIT * len(f"{last:,}")))
    axes.xaxis.set_major_locator(MaxNLocator(max(1, count), integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _members(axes: Axes, behind: Sequence[Trained], row: int) -> None:
    """Draw which member trained the weights when."""
    held: list[tuple[int, int, int]] = []
    for turn in behind:
        if held and held[-1][0] == turn.member:
            held[-1] = (turn.member, held[-1][1], turn.stop)
        else:
            held.append((turn.member, turn.start, turn.stop))
    bars = [(start, stop - start) for _, start, stop in held]
    for colour, its in (("0.88", bars[::2]), ("0.78", bars[1::2])):
        axes.broken_barh(its, (row, 0.34), color=colour, linewidth=0, zorder=2)
    size = FontProperties(size="small").get_size_in_points()
    width = drawing.width_of(axes) * drawing.POINTS / size
    said = "trained by member"
    for member, start, stop in held:
        if (stop - start) / behind[-1].stop * width < ROOM + DIGIT * len(str(member)):
            said = "trained by member (numbers where they fit)"
        else:
            axes.text(
                (start + stop) / 2,
                row + 0.17,
                f"{member}",
                ha="center",
                va="center",
                fontsize="small",
            )
    axes.text(
        *(0.005, row + 0.38, drawing.fit_across(axes, said)),
        transform=axes.get_yaxis_transform(),
        va="bottom",
        weight="bold",
        fontsize="small",
    )

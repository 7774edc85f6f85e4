"""How much each hyperparameter mattered, and how sure that is."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ramet.history import Lineage, Result
from ramet.history.importance import Importance, measure_importance
from ramet.plots import drawing

# Inches of a row, and of all else.
ROW, REST = 0.7, 1.9
# Hyperparameters that there is room for: those that mattered most.
ROWS = 16
# How far from the middle of its row a mark is, and the name above both.
ASIDE, NAME_ASIDE = 0.15, 0.29
COLOURS = {"first values": drawing.COLOURS[2], "changes": drawing.COLOURS[1]}
MARKS = {"first values": "D", "changes": "o"}
LABELS = {
    "first values": "first values, over the whole space",
    "changes": "later changes, from the same weights",
}
NO_INFLUENCE = drawing.GREY
# The axis shows at least this part.
SHOWN = 0.1

# A plot and a table of a report read the same.
_measured: "WeakKeyDictionary[Lineage, list[Importance]]" = WeakKeyDictionary()


def importance(result: Result, ax: Axes | None = None) -> Axes:
    """Draw how much of the differences in later scores is associated with each hyperparameter.

    If members went on from the same weights with different values, their ranks are compared a
    quarter of the run later. Bars are 90 % intervals. Where chance alone could give as much, the
    mark is grey.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    every = measure_once(result)
    names = list(dict.fromkeys(one.name for one in every))[:ROWS]
    axes = drawing.axes_for(ax, size=(drawing.SIZE[0], REST + ROW * max(2, len(names))))
    axes.set_xlabel("part of the differences in later rank that goes with it")
    drawing.entitle(axes, result, "which hyperparameters mattered")
    if not any(one.found != "too few lines" for one in every):
        axes.set_xlabel("")
        return drawing.say(axes, "too few lines went on from the same weights to compare")
    shown = [one for one in every if one.name in names]
    for one in shown:
        _draw(axes, one, names.index(one.name))
    _name_rows(axes, names)
    axes.set_xlim(
        0, max(SHOWN, *(one.high for one in shown if one.found != "too few lines")) * 1.02
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="x", color="0.8", linewidth=0.8)
    axes.set_axisbelow(True)
    drawing.legend(axes, _explain(shown))
    return axes


def measure_once(result: Result) -> list[Importance]:
    """Return how much hyperparameters mattered; a result is measured once."""
    lineage = result.lineage()
    if lineage not in _measured:
        _measured[lineage] = measure_importance(lineage)
    return _measured[lineage]


def _draw(axes: Axes, one: Importance, row: int) -> None:
    height = row + (-ASIDE if one.of == "first values" else ASIDE)
    if one.found == "too few lines":
        axes.annotate(
            f"{LABELS[one.of].partition(',')[0]}: too few to compare",
            (0, height),
            (4, 0),
            textcoords="offset points",
            va="center",
            color="0.4",
            fontsize="small",
        )
        return
    colour = COLOURS[one.of] if one.found == "yes" else NO_INFLUENCE
    axes.plot([one.low, one.high], [height] * 2, color=colour, linewidth=2.2, zorder=2)
    axes.plot(one.part, height, MARKS[one.of], color=colour, markersize=7, clip_on=False, zorder=3)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write each name above its marks, so that long ones leave the plot its width."""
    for row, name in enumerate(names):
        axes.text(
            *(0.005, row - NAME_ASIDE, drawing.fit_across(axes, name)),
            transform=axes.get_yaxis_transform(),
            in_layout=False,
            va="bottom",
            weight="bold",
            fontsize="small",
        )
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.5, -NAME_ASIDE - 0.4)


def _explain(shown: Sequence[Importance]) -> list[Artist]:
    handles: list[Artist] = []
    for of, label in LABELS.items():
        found = {one.found for one in shown if one.of == of}
        look: dict[str, Any] = {"marker": MARKS[of], "linewidth": 2.2}
        if "yes" in found:
            handles.append(Line2D([], [], color=COLOURS[of], label=label, **look))
        if "none found" in found:
            by_chance = f"{label}: chance could give as much"
            handles.append(Line2D([], [], color=NO_INFLUENCE, label=by_chance, **look))
    return [*handles, drawing.remark("bars: 90% intervals over members")]

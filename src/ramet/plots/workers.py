"""What each worker trained when, and how much of the time it was idle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ramet import wording
from ramet.history import Result
from ramet.plots import drawing
from ramet.plots.shifts import (
    HEIGHT,
    Bar,
    Pause,
    Stints,
    bars_of,
    by_worker,
    hidden_s,
    idle_s,
    stints_of,
)

# Workers that there is room to name, and the part of the width that names have.
NAMED, NAMES = 32, 0.28
# The part of the time that a bar needs for each letter.
LETTER = 0.0095
# The part of a row that a bar needs for text.
SLIM = 0.3
# Pauses shorter than this part of the time are not drawn.
SEEN = 1 / 1_200
# If they come to more than this part of the time, it is said.
UNSEEN = 0.02
# The most time between reading when a turn ended and how long it took, which are two clocks.
CLOCKS_S = 0.02
# Shorter parts of the time have bars without a white edge: many edges look like idle time.
EDGED = 1 / 80
# The part of the colours from which on black can be read on them better than white.
BRIGHT = 0.76
IDLE = "0.84"
FAILED = "#d55e00"
# Units of time: from how many seconds on, how many seconds they have, and their names.
UNITS = (
    (2 * 86_400, 86_400.0, "days"),
    (2 * 3_600, 3_600.0, "hours"),
    (120, 60.0, "minutes"),
    (1, 1.0, "seconds"),
    (0, 0.001, "milliseconds"),
)


def workers(result: Result, ax: Axes | None = None) -> Axes:
    """Draw which worker trained which member when: a row for each worker, a bar for each turn.

    Idle time is pale: time between a worker's first turn and its last in which it trained nothing.
    Turns that a worker trained at the same time lie above each other; many of them are one bar.

    Args:
        result: The run, whether it is over or still going on.
        ax: The axes to draw on; without them, those of a new figure.
    """
    drawing.check(result)
    stints, pauses = stints_of(result)
    rows = by_worker(stints)
    height = float(np.clip(1.9 + 0.34 * len(rows), 2.6, 9.0))
    axes = drawing.axes_for(ax, size=(9.0, height))
    if not len(stints):
        drawing.entitle(axes, result, "workers")
        return drawing.say(axes, "no turn has ended yet")
    end = float(stints.stop.max())
    least = SEEN * end
    bars = [
        bar
        for row, its in enumerate(rows.values())
        for bar in bars_of(its, row, slack=max(least, CLOCKS_S), least=least)
    ]
    for row, its in enumerate(rows.values()):
        there = float(its.start[0]), float(its.stop.max())
        axes.barh(row, there[1] - there[0], HEIGHT, there[0], color=IDLE, linewidth=0, zorder=1)
    hides = any(hidden_s(its, least) > UNSEEN * end for its in rows.values())
    _draw(axes, bars, end, idle="idle; many pauses are too short to be drawn" if hides else "idle")
    _pauses(axes, pauses)
    _name(axes, rows)
    _time(axes, end)
    _sum_up(axes, result, rows)
    return axes


def _draw(axes: Axes, bars: Sequence[Bar], end: float, *, idle: str) -> None:
    norm = Normalize(0, max(1, *(bar.turn for bar in bars)))
    parts = norm(np.array([bar.turn for bar in bars], float))
    colours = drawing.shades()(parts)
    colours[[bar.failed for bar in bars]] = to_rgba(FAILED)
    edged = np.array([bar.stop - bar.start > EDGED * end for bar in bars])
    corners = np.array([_corners(bar) for bar in bars])
    for which, width in ((edged, 0.6), (~edged, 0.0)):
        look = {"facecolors": colours[which], "edgecolors": "white", "linewidths": width}
        axes.add_collection(PolyCollection(corners[which], **look, zorder=2))
    named = False
    for bar, part in zip(bars, parts, strict=True):
        if bar.stop - bar.start > LETTER * end * (len(bar.text) + 0.5) and bar.height > SLIM:
            named = named or bar.text.isdigit()
            is_light = part > BRIGHT or bar.failed
            axes.text(
                *((bar.start + bar.stop) / 2, bar.bottom + bar.height / 2, bar.text),
                ha="center",
                va="center_baseline",
                fontsize="small",
                color="black" if is_light else "white",
                clip_on=True,
                zorder=3,
            )
    _explain(axes, ScalarMappable(norm, drawing.shades()), bars, named=named, idle=idle)


def _explain(
    axes: Axes, drawn: ScalarMappable, bars: Sequence[Bar], *, named: bool, idle: str
) -> None:
    shades = drawing.colour_bar(axes, drawn)
    shades.set_label("turn of the member")
    shades.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles: list[Artist] = [Patch(color=IDLE, label=idle)]
    if any(bar.failed for bar in bars):
        handles.append(Patch(color=FAILED, label="failed"))
    if named:
        number: dict[str, Any] = {
            "marker": "$7$",
            "color": "0.2",
            "markersize": 6,
            "markeredgewidth": 0,
            "linestyle": "",
        }
        handles.append(Line2D([], [], **number, label="which member, where there is room"))
    drawing.legend(axes, handles)


def _corners(bar: Bar) -> list[tuple[float, float]]:
    top = bar.bottom + bar.height
    return [
        (bar.start, bar.bottom),
        (bar.stop, bar.bottom),
        (bar.stop, top),
        (bar.start, top),
    ]


def _pauses(axes: Axes, pauses: Sequence[Pause]) -> None:
    """Mark where a pause, in which no worker trained, is left out."""
    for pause in pauses:
        axes.axvline(pause.at, color="0.3", linestyle=":", linewidth=1, zorder=4)
        length, unit = _unit(pause.length)
        axes.annotate(
            f"{pause.length / length:.3g} {unit} later",
            (pause.at, 1.0),
            (3, 2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize="small",
            color="0.3",
        )


def _name(axes: Axes, rows: dict[str, Stints]) -> None:
    """Write each worker's name at the left, and how much of its time it was idle."""
    every = -(-len(rows) // NAMED)
    named = list(enumerate(rows.items()))[::every]
    labels = []
    for _, (name, its) in named:
        idle, there = idle_s(its)
        short = drawing.fit_across(axes, name, NAMES)
        labels.append(f"{short}  {idle / there if there else 0:.0%} idle")
    axes.set_yticks([row for row, _ in named], labels, fontsize="small")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _time(axes: Axes, end: float) -> None:
    length, unit = _unit(end)
    axes.set(xlim=(0, end), xlabel=f"{unit} since the first turn began")
    axes.xaxis.set_major_locator(_In(length))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at / length:g}"))


def _sum_up(axes: Axes, result: Result, rows: dict[str, Stints]) -> None:
    idle, there = np.sum([idle_s(its) for its in rows.values()], axis=0)
    who, turns = wording.count(len(rows), "worker"), sum(map(len, rows.values()))
    share = idle / there if there else 0.0
    drawing.entitle(
        axes, result, f"{who}, {wording.count(turns, 'turn')}, idle {share:.0%} of the time"
    )


def _unit(seconds: float) -> tuple[float, str]:
    """Return the length of the unit that suits a time best, and its name."""
    return next((length, name) for least, length, name in UNITS if seconds >= least)


class _In(MaxNLocator):
    """Ticks at round numbers of a unit."""

    def __init__(self, length: float) -> None:
        super().__init__(6, steps=[1, 2, 2.5, 5, 10])
        self._length = length

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = super().tick_values(vmin / self._length, vmax / self._length)
        return self._length * np.asarray(ticks)

"""Who copies what from whom: sub-populations, evaluators, and what goes from one to the other."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ramet.plots.drawing import COLOURS, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Place = tuple[float, float]

# The upper left member of each sub-population and of the evaluators, and from one to the next.
CORNERS = {3: (4.7, 10.3), 2: (4.7, 6.7), 1: (4.7, 3.1)}
EVALUATORS = (15.4, 9.0)
STEP = 1.15
PALE = {3: "#dcf1eb", 2: "#fae8dc", 1: "#e0edf6"}
FITNESS = {
    3: "fitness: how fast the\nweights improve with\nP2's hyperparameters",
    2: "fitness: how fast the\nweights improve with\nP1's hyperparameters",
    1: "fitness: the score.\nThe best of these is\nthe run's best",
}
# Parents, and the row of the evaluator that arrows lead to.
EVALUATIONS = {3: 1, 2: 4}


def draw_mechanisms(out: Path) -> None:
    with figure(out, size=(9, 6)) as drawn:
        axes = drawn.subplots()
        axes.set(xlim=(-0.2, 17.4), ylim=(0.0, 11.2), aspect="equal")
        axes.axis("off")
        for group in CORNERS:
            draw_group(axes, group)
        draw_evaluators(axes)
        for parent, row in EVALUATIONS.items():
            draw_evaluation(axes, parent, place(EVALUATORS, row, 0))
        draw_key(axes)


def place(corner: Place, row: int, column: int) -> Place:
    return corner[0] + STEP * column, corner[1] - STEP * row


def draw_group(axes: "Axes", group: int) -> None:
    """Draw a sub-population: eight members, and PBT among them."""
    corner = CORNERS[group]
    draw_box(axes, corner, rows=2, columns=4, colour=PALE[group])
    for row in range(2):
        for column in range(4):
            draw_member(axes, place(corner, row, column), COLOURS[group], COLOURS[group])
    top = corner[1] + 0.05
    axes.text(0.1, top, f"P{group}", color=COLOURS[group], size=17, weight="bold")
    axes.text(0.1, top - 0.25, FITNESS[group], va="top", linespacing=1.35)
    for winner, loser in (((0, 0), (1, 1)), ((1, 2), (0, 1))):
        draw_arrow(axes, place(corner, *winner), place(corner, *loser), colour=COLOURS[group])


def draw_evaluators(axes: "Axes") -> None:
    """Draw twelve evaluators, of which one is idle."""
    draw_box(axes, EVALUATORS, rows=6, columns=2, colour="0.94")
    middle = EVALUATORS[0] + STEP / 2
    axes.text(middle, EVALUATORS[1] + 0.95, "evaluators", ha="center", size=12, weight="bold")
    for row in range(6):
        parent = min(EVALUATIONS, key=lambda group: abs(EVALUATIONS[group] - row))
        for column in range(2):
            idle = (row, column) == (5, 1)
            weights, hparams = ("white", "0.75") if idle else (COLOURS[parent], COLOURS[parent - 1])
            draw_member(axes, place(EVALUATORS, row, column), weights, hparams)


def draw_evaluation(axes: "Axes", parent: int, evaluator: Place) -> None:
    """Draw how an evaluator begins, and how it ends if it succeeds."""
    origin = place(CORNERS[parent], 1, 3)
    reference = place(CORNERS[parent - 1], 0, 3)
    weights, hparams = COLOURS[parent], COLOURS[parent - 1]
    draw_arrow(axes, origin, evaluator, colour=weights)
    draw_along(axes, origin, evaluator, "parent's weights", above=0.15, colour=weights)
    draw_arrow(axes, reference, evaluator, colour=hparams, dash=True)
    draw_along(
        axes, reference, evaluator, "reference's hyperparameters", above=0.15, colour=hparams
    )
    draw_arrow(axes, evaluator, reference, colour="black", bend=-0.2)
    draw_along(axes, reference, evaluator, "weights, on success", above=-1.15, colour="black")


def draw_key(axes: "Axes") -> None:
    y = 0.55
    draw_arrow(axes, (0.0, y), (1.3, y), colour="0.3", shrink=0)
    axes.text(1.5, y, "a loser copies a donor, then explores", va="center")
    draw_member(axes, (9.1, y), COLOURS[3], COLOURS[2])
    axes.text(9.7, y, "disc: origin of weights; ring: of hyperparameters", va="center")


def draw_box(axes: "Axes", corner: Place, *, rows: int, columns: int, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - an extra, as in drawing.py

    left, bottom = place(corner, rows - 1, 0)
    width, height = STEP * (columns - 1), STEP * (rows - 1)
    style = "round,pad=0.62,rounding_size=0.5"
    axes.add_patch(
        FancyBboxPatch((left, bottom), width, height, style, facecolor=colour, linewidth=0)
    )


def draw_member(axes: "Axes", where: Place, weights: str, hparams: str) -> None:
    for size, colour in ((30, hparams), (23, "white"), (17, weights)):
        axes.plot(*where, "o", markersize=size, color=colour, markeredgewidth=0, zorder=3)


def draw_arrow(
    axes: "Axes",
    start: Place,
    stop: Place,
    *,
    colour: str,
    bend: float = 0.0,
    dash: bool = False,
    shrink: float = 15,
) -> None:
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415 - as above

    axes.add_patch(
        FancyArrowPatch(
            start,
            stop,
            arrowstyle="-|>",
            mutation_scale=13,
            connectionstyle=f"arc3,rad={bend}",
            color=colour,
            linestyle=(0, (4, 2)) if dash else "solid",
            linewidth=1.8,
            shrinkA=shrink,
            shrinkB=shrink,
            zorder=4,
        )
    )


def draw_along(
    axes: "Axes", start: Place, stop: Place, text: str, *, above: float, colour: str
) -> None:
    """Write along a straight line."""
    right, up = np.subtract(stop, start)
    x, y = np.add(start, stop) / 2 + above * np.array([-up, right]) / np.hypot(right, up)
    angle = float(np.degrees(np.arctan2(up, right)))
    axes.text(x, y, text, color=colour, ha="center", rotation=angle, rotation_mode="anchor")

"""How FIRE works, drawn for docs/fire.md (after Dalibard & Jaderberg, 2021, figures 2 and 3).

    python -m experiments.fire_figures --out docs/figures

Writes fire-mechanisms.svg, who copies what from whom, and fire-curves.svg, how two curves are
compared. Those two are made up; what is said of them is computed by ``ramet.curves``.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ramet.curves import Floats, best_score_diff, binomial_test, overlap, smooth
from ramet.plots.drawing import COLOURS, OTHERS, figure

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
# Steps between two scores of a curve.
EVERY = 20


class Drawn(NamedTuple):
    """A curve, and the section of it that is compared."""

    name: str
    colour: str
    steps: Floats
    scores: Floats
    smoothed: Floats
    section: slice

    @property
    def compared(self) -> Floats:
        return self.scores[self.section]

    @property
    def best(self) -> int:
        """Where in the section the best score is."""
        return int(self.compared.argmax())


def made_up() -> tuple[Floats, Floats]:
    """Return two curves: one that started lower and rose more, and one that improves faster."""
    rng = np.random.default_rng(3)

    def rising(points: int, start: float, rise: float) -> Floats:
        scores: Floats = start - rise * np.expm1(-EVERY * np.arange(points) / 250)
        return scores + rng.normal(0.0, 0.006, points)

    return rising(51, 0.45, 0.22), rising(26, 0.6, 0.12)


# Who copies what from whom


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


# How two curves are compared


def draw_curves(out: Path) -> None:
    scores = made_up()
    found = overlap(*scores)
    if found is None:
        raise ValueError("the two curves must overlap, or there is nothing to draw")
    curves = [
        Drawn(
            name,
            colour,
            steps=2_000 + EVERY * np.arange(1.0 - len(curve), 1),
            scores=curve,
            smoothed=smooth(curve),
            section=slice(first, first + found.length),
        )
        for name, colour, curve, first in zip(
            "ab", (OTHERS[0], OTHERS[4]), scores, found[:2], strict=True
        )
    ]
    with figure(out, size=(9, 4.4)) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for curve, height, offset in zip(curves, (0.557, 0.53), (-15, 15), strict=True):
            draw_curve(left, curve, offset)
            draw_length(left, curve, height)
        draw_start(left, *curves)
        left.set(xlabel="step", ylabel="score", title="two evaluators' curves", ylim=(0.44, 0.735))
        left.legend(loc="upper left")
        draw_pairs(right, *curves)
        right.set(xlabel="steps since the section's start", title="their sections, aligned")


def draw_curve(axes: "Axes", curve: Drawn, above: float) -> None:
    """Draw a curve, its section wide, and the best score in that, so many points off its number."""
    colour, section = curve.colour, curve.section
    axes.plot(curve.steps, curve.scores, ".", color=colour, alpha=0.5, markeredgewidth=0)
    axes.plot(curve.steps, curve.smoothed, color=colour, linewidth=1.2)
    axes.plot(
        curve.steps[section],
        curve.smoothed[section],
        color=colour,
        linewidth=3.5,
        label=f"curve {curve.name}",
    )
    best = curve.steps[section][curve.best], curve.compared[curve.best]
    axes.plot(*best, "*", color=colour, markersize=14, markeredgecolor="white", zorder=4)
    draw_number(axes, 4, best, (0, above))
    fifth = len(curve.steps) // 5
    draw_number(axes, 1, (curve.steps[fifth], curve.smoothed[fifth]), (15, -9))


def draw_start(axes: "Axes", a: Drawn, b: Drawn) -> None:
    """Draw where the sections start: at the score that the higher curve starts with."""
    level = b.smoothed[0]
    starts = [curve.steps[curve.section][0] for curve in (a, b)]
    axes.plot(starts, [level, level], ":", color="black", zorder=4)
    axes.plot(starts, [level, level], "o", color="black", markersize=5, zorder=4)
    draw_number(axes, 2, (float(np.mean(starts)), level), (0, -13))


def draw_length(axes: "Axes", curve: Drawn, height: float) -> None:
    steps = curve.steps[curve.section]
    arrow = {"arrowstyle": "|-|, widthA=0.3, widthB=0.3", "color": curve.colour, "shrinkA": 0}
    ends = (steps[0], height), (steps[-1], height)
    axes.annotate("", *ends, arrowprops={**arrow, "shrinkB": 0, "linewidth": 1.5})
    middle = float(steps.mean())
    axes.text(middle, height + 0.004, f"{len(steps)} points", ha="center", va="bottom")
    draw_number(axes, 3, (middle, height), (-36, 10))


def draw_number(axes: "Axes", number: int, where: Place, offset: Place) -> None:
    """Say which step of the comparison something is; the offset is in points."""
    axes.annotate(
        str(number),
        where,
        offset,
        textcoords="offset points",
        ha="center",
        va="center",
        size=8.5,
        bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "linewidth": 0.8},
        zorder=5,
    )


def draw_pairs(axes: "Axes", a: Drawn, b: Drawn) -> None:
    """Draw the sections point above point, each pair joined in the colour of who is ahead."""
    steps = EVERY * np.arange(len(a.compared))
    low, high = a.compared, b.compared
    for curve, ahead in ((a, low >= high), (b, low < high)):
        axes.vlines(steps[ahead], low[ahead], high[ahead], curve.colour, alpha=0.35, linewidth=3)
    for curve in (a, b):
        axes.plot(steps, curve.compared, ".", color=curve.colour, markersize=7)
        best = steps[curve.best], curve.compared[curve.best]
        axes.plot(*best, "*", color=curve.colour, markersize=14, markeredgecolor="white")
    said = (
        f"b is ahead in {(low < high)[1:].sum()} of {len(steps) - 1} pairs",
        f"binomial_test(b, a) = {binomial_test(b.scores, a.scores):.1g}",
        f"best_score_diff(b, a) = {best_score_diff(b.scores, a.scores):.3f}",
    )
    for line, text in enumerate(said):
        axes.text(0.98, 0.3 - 0.08 * line, text, ha="right", transform=axes.transAxes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder to draw to")
    options = parser.parse_args()

    draw_mechanisms(options.out / "fire-mechanisms.svg")
    draw_curves(options.out / "fire-curves.svg")
    print(f"drawn to {options.out}")


if __name__ == "__main__":
    main()

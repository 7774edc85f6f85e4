"""How two learning curves are compared. They are made up; ``ramet.curves`` compares them."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ramet.curves import Floats, best_score_diff, binomial_test, overlap, smooth
from ramet.plots.drawing import OTHERS, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def draw_number(
    axes: "Axes", number: int, where: tuple[float, float], offset: tuple[float, float]
) -> None:
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

"""The figure of quadratic.py: the schedules that methods found, and all members of one."""

from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

import ramet
from ramet import plots
from ramet.plots.drawing import OTHERS, figure
from ramet.testing.quadratic import Floats


def draw(optimum: Floats, turn_steps: int, results: dict[str, ramet.Result], out: Path) -> None:
    """Draw what each method found beside the optimum: a rate for each round.

    On the right are all members of the last method.
    """
    with figure(out, size=(9, 4.4)) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True)
        draw_schedules(left, optimum, turn_steps, results)
        left.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=2, fontsize="small")
        left.set(xlabel="step", title="schedules found")
        name, last = list(results.items())[-1]
        plots.hyperparameter(last, "lr", ax=right)
        right.set_title("", loc="left")
        right.set(ylabel="", title=f"all members of {name}")
        for axes in (left, right):
            axes.set_xlim(0, len(optimum) * turn_steps)


def draw_schedules(
    axes: Axes, optimum: Floats, turn_steps: int, results: dict[str, ramet.Result]
) -> None:
    """Draw the schedules behind the best of each run, and the optimal one."""
    edges = [round_ * turn_steps for round_ in range(len(optimum) + 1)]
    axes.stairs(optimum, edges, baseline=None, label="the best there is", color="0.85", linewidth=5)
    *others, last = results
    for name, colour in zip(others, cycle(OTHERS), strict=False):
        draw_schedule(axes, results[name], label=name, color=colour)
    draw_schedule(axes, results[last], label=last, color="black")
    axes.set_ylabel("learning rate")


def draw_schedule(axes: Axes, result: ramet.Result, **look: Any) -> None:
    schedule = result.schedule()
    rates = [values["lr"] for _, values in schedule]
    edges = [0, *(piece.stop for piece in schedule.pieces)]
    axes.stairs(rates, edges, baseline=None, linewidth=1.5, zorder=3, **look)

"""What the plot of a front shows."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import ramet
from ramet import plots
from ramet.errors import UsageError
from tests.engine import loops
from tests.engine.loops import Descent
from tests.plots.runs import LARGEST, descended
from tests.plots.test_drawn import texts

SPACE = ramet.Space(aim=ramet.Uniform(-0.5, 1.5))


def traded(
    rule: ramet.Pareto | None = None,
    mode: Literal["max", "min"] = "max",
    steps: int = 48,
    factor: float = 1.0,
) -> ramet.Result:
    """Return a run of two objectives, or three."""

    def train(session: ramet.Session) -> None:
        state = {"w": session.rng.uniform(-1.0, 2.0, size=1)}
        for turn in session.turns(state):
            for _ in turn:
                state["w"] += 0.1 * (turn.hparams["aim"] - state["w"])
            w, sign = float(state["w"][0]), 1 if mode == "max" else -1
            cost = math.nan if (turn.member, turn.number) == (0, 0) else (w - 1) ** 2
            turn.report(-sign * factor * w**2, cost=cost, size=w)

    strategy = ramet.PBT(
        population=8,
        turn_steps=4,
        exploit=rule or ramet.Pareto({"cost": "min"}),
        synchronous=True,
    )
    return ramet.run(train, SPACE, strategy, steps=steps, mode=mode, seed=0)


def dots(axes: Axes) -> list[tuple[float, float]]:
    """Return where turns are drawn."""
    drawn = [it for it in axes.collections if isinstance(it, PathCollection)]
    found = np.concatenate([np.asarray(it.get_offsets()) for it in drawn])
    return sorted((float(x), float(y)) for x, y in found)


def line(axes: Axes) -> Any:
    [found] = [it for it in axes.lines if it.get_color() == "black" and len(it.get_xdata()) > 0]
    return found


def ends(result: ramet.Result) -> list[tuple[float, float]]:
    rows = [row for row in result.rows() if math.isfinite(row["metrics.cost"])]
    return sorted((row["metrics.cost"], row["score"]) for row in rows)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_each_turn_is_where_it_ended_and_the_front_is_black(mode: Literal["max", "min"]) -> None:
    result = traded(mode=mode)
    axes = plots.front(result)
    axes.get_figure().draw_without_rendering()
    assert dots(axes) == ends(result)
    drawn = sorted(zip(line(axes).get_xdata(), line(axes).get_ydata(), strict=True))
    assert drawn == sorted((each.metrics["cost"], each.score) for each in result.front())
    assert line(axes).get_drawstyle() == "steps-post"
    assert axes.get_xlabel() == "cost (lower is better)"
    assert axes.get_ylabel() == f"score ({'higher' if mode == 'max' else 'lower'} is better)"


def test_what_is_beyond_a_bound_is_grey_and_shaded() -> None:
    axes = plots.front(traded(ramet.Pareto({"cost": "min"}, at_least={"score": -0.4})))
    assert "turns beyond a bound" in texts(axes)
    assert "bound; beyond it is shaded" in texts(axes)
    [bound] = [it for it in axes.lines if list(it.get_ydata()) == [-0.4, -0.4]]
    assert bound.get_color() == "#d55e00"
    assert len(axes.patches) == 1


def test_without_bounds_none_is_drawn() -> None:
    axes = plots.front(traded())
    assert not axes.patches
    assert "beyond a bound" not in " ".join(texts(axes))


def test_a_front_that_lacks_crowded_turns_says_so() -> None:
    axes = plots.front(traded(steps=200))
    assert "turns of the front that are kept" in texts(axes)
    assert " kept of the front" in axes.get_title(loc="left")
    # Other turns of the front lie beyond it.
    assert line(axes).get_linestyle() == "None"
    assert "the front" in texts(plots.front(traded(ramet.Pareto(at_most={"cost": 1.0}))))


def test_axes_can_be_chosen_and_three_objectives_have_no_line() -> None:
    result = traded(ramet.Pareto({"cost": "min", "size": "max"}))
    figure = Figure()
    axes = plots.front(result, figure.add_subplot(), x="size", y="cost")
    assert axes.get_xlabel() == "size (higher is better)"
    assert axes.get_ylabel() == "cost (lower is better)"
    assert line(axes).get_linestyle() == "None"
    assert plots.front(traded(), x="score", y="cost").get_xlabel() == "score (higher is better)"
    with pytest.raises(UsageError, match=r"\['score', 'cost'\], but got 'size'"):
        plots.front(traded(), x="size")


def test_only_both_objectives_have_a_line() -> None:
    rule = ramet.Pareto({"cost": "min", "size": "max"}, score=False, at_least={"score": -2.0})
    result = traded(rule, steps=8)
    assert result.front_is_whole
    axes = plots.front(result)
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "cost (lower is better)",
        "size (higher is better)",
    )
    assert line(axes).get_linestyle() == "-"
    beside = plots.front(result, Figure().add_subplot(), y="score")
    assert line(beside).get_linestyle() == "None"
    assert line(plots.front(traded(), x="cost", y="cost")).get_linestyle() == "None"


def test_a_run_with_one_objective_is_refused() -> None:
    with pytest.raises(UsageError, match="a front needs a run with several objectives"):
        plots.front(descended())


@pytest.mark.parametrize("factor", [0.0, 1e-320, LARGEST / 4])
def test_numbers_as_wide_as_floats_are_drawn(factor: float) -> None:
    plots.front(traded(steps=8, factor=factor)).get_figure().draw_without_rendering()


def test_a_run_beyond_all_bounds_is_drawn() -> None:
    axes = plots.front(traded(ramet.Pareto({"cost": "min"}, at_most={"cost": -1.0}), steps=8))
    axes.get_figure().draw_without_rendering()
    assert "turns beyond a bound" in texts(axes)


def test_turns_without_metrics_are_drawn_if_only_the_score_has_a_bound() -> None:
    rule = ramet.Pareto(at_least={"score": -1.0})
    strategy = ramet.PBT(population=5, turn_steps=5, exploit=rule, synchronous=True)
    result = ramet.run(Descent(), loops.SPACE, strategy, steps=20, mode="max", seed=0)
    assert len(dots(plots.front(result))) == result.population.turns


def test_a_run_of_which_no_turn_has_ended_says_so() -> None:
    strategy = ramet.PBT(population=8, turn_steps=4, exploit=ramet.Pareto({"cost": "min"}))
    run = ramet.open(space=SPACE, strategy=strategy, steps=8, mode="max", seed=0)
    axes = plots.front(run.result())
    assert [text.get_text() for text in axes.texts] == ["no turn has ended with finite values yet"]

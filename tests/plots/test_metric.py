"""What the plot of a metric shows."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ramet
from ramet import plots
from ramet.errors import UsageError
from ramet.history.metrics import metric_names
from tests.plots.runs import begun, descended, measured
from tests.plots.test_drawn import HISTORY, lines, texts, vertices


def rows(name: str) -> list[dict[str, float]]:
    return [row for row in measured().rows("metrics") if row["name"] == name]


@pytest.mark.parametrize(
    "name", ["loss", "fraction", "spiky", "gaps", "huge", "nothing", "same", "val/x"]
)
def test_every_metric_is_drawn(name: str) -> None:
    left, right = Figure().subplots(1, 2)
    axes = plots.metric(measured(), name, ax=right)
    assert axes is right
    assert not left.has_data()
    axes.get_figure().draw_without_rendering()
    assert axes.get_ylabel() == name
    assert name in metric_names(measured().events)


def test_members_are_drawn_as_they_logged() -> None:
    members = vertices(lines(plots.metric(measured(), "loss"))[0])
    assert len(members) == 8 + measured().population.copies
    drawn = sorted((float(x), float(y)) for path in members for x, y in path)
    assert drawn == sorted((row["step"], row["value"]) for row in rows("loss"))


def test_what_led_to_the_best_weights_is_black() -> None:
    result = measured()
    axes = plots.metric(result, "loss")
    path = next(line for line in axes.lines if line.get_color() == "black")
    behind = result.lineage().behind(result.best.checkpoint)
    expected = [
        row["value"]
        for turn in behind
        for row in rows("loss")
        if (row["member"], row["turn"]) == turn.key
    ]
    np.testing.assert_array_equal(path.get_ydata(), expected)
    np.testing.assert_array_equal(path.get_xdata(), range(1, len(expected) + 1))
    assert HISTORY in texts(axes)


def test_members_that_do_not_wait_have_their_steps_trained() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn:
                turn.log(lr=turn.hparams["lr"])
            turn.report(turn.hparams["lr"])

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5))
    strategy = ramet.PBT(population=5, turn_steps=4, exploit=ramet.BinaryTournament())
    result = ramet.run(train, space, strategy, steps=40, mode="max", seed=0)
    drawn = vertices(lines(plots.metric(result, "lr"))[0])
    assert result.population.copies
    assert sorted(float(x) for path in drawn for x, _ in path) == sorted(5 * list(range(1, 41)))


def test_numbers_that_fall_by_orders_of_magnitude_have_a_log_axis() -> None:
    scales = {name: plots.metric(measured(), name).get_yscale() for name in ("loss", "fraction")}
    assert scales == {"loss": "log", "fraction": "linear"}


def test_what_would_hide_the_others_is_left_out_and_counted() -> None:
    axes = plots.metric(measured(), "spiky")
    assert "2 values are beyond the axis" in texts(axes)
    assert -20 < axes.get_ylim()[0] < axes.get_ylim()[1] < 20


def test_gaps_are_counted() -> None:
    axes = plots.metric(measured(), "gaps")
    assert f"{2 * measured().population.turns} values are not finite" in texts(axes)
    assert "no value is finite" in texts(plots.metric(measured(), "nothing"))
    assert "values beyond 1e±100 are drawn there" in texts(plots.metric(measured(), "huge"))


@pytest.mark.parametrize("result", [descended, lambda: begun().result()])
def test_a_metric_that_no_loop_logged_is_refused(result: Callable[[], ramet.Result]) -> None:
    with pytest.raises(UsageError, match=r"that the run logged, \[\], but got 'loss'; turn.log"):
        plots.metric(result(), "loss")
    with pytest.raises(UsageError, match="must be of a Result"):
        plots.metric("runs.db", "loss")


def test_the_axes_are_as_all_others() -> None:
    axes: Axes = plots.metric(measured(), "loss")
    assert axes.get_xlabel() == "steps trained"
    assert "loss, 512 points" in axes.get_title(loc="left")

"""Plots and reports of runs in which some hyperparameters are not always there."""

import functools
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection

import ramet
from ramet import plots
from tests.cli import shell
from tests.engine.rich import RICH, Rich

mpl.use("agg")

NEVER = ramet.Space(
    kind=ramet.Choice(["x", "y"]),
    rate=ramet.Uniform(0.1, 0.9),
    size=ramet.When(ramet.Integer(1, 9), kind="y"),
)


@functools.cache
def explored() -> ramet.Result:
    strategy = ramet.PBT(population=5, turn_steps=2, exploit=None, synchronous=True)
    return ramet.run(Rich(), RICH, strategy, steps=60, mode="max", seed=2)


@functools.cache
def never() -> ramet.Result:
    """Return a run in which no member ever had one of the hyperparameters."""

    def train(session: ramet.Session) -> None:
        state = {"w": session.rng.normal()}
        for turn in session.turns(state):
            hparams = turn.hparams
            for _ in turn:
                state["w"] *= hparams["rate"] - hparams.get("size", 0)
                turn.report(-abs(state["w"]))

    points = [{"kind": "x", "rate": 0.5}, {"kind": "x", "rate": 0.25}]
    grid = ramet.Grid(points, turn_steps=2)
    return ramet.run(train, NEVER, grid, steps=6, mode="max", seed=0)


def texts(axes: Any) -> list[str]:
    labels = [text.get_text() for text in axes.figure.findobj(mpl.text.Text)]
    return [label for label in labels if label]


def test_a_line_has_gaps_where_its_hyperparameter_is_not_there() -> None:
    axes = plots.hyperparameter(explored(), "momentum")

    lines = [part for part in axes.collections if isinstance(part, LineCollection)]
    paths = [path for part in lines for path in part.get_paths()]
    heights = np.concatenate([path.vertices[:, 1] for path in paths])
    assert np.isnan(heights).any()
    assert np.nanmax(heights) <= 0.99


@pytest.mark.parametrize("result", [explored, never])
@pytest.mark.parametrize("name", ["momentum", "adam.beta", "eps", "lr[1]", "size", "score"])
def test_all_plots_are_drawn(result: Any, name: str, tmp_path: Path) -> None:
    run = result()
    names = [*run.opening.space["names"], "score"]
    if name not in names:
        return
    drawn = [plots.tree(run, name), plots.lineage(run), plots.parallel(run), plots.scores(run)]
    if name != "score":
        drawn.append(plots.hyperparameter(run, name))

    for nth, axes in enumerate(drawn):
        plots.save(axes, tmp_path / f"{nth}.png")


def test_what_no_member_has_is_said_to_be_not_there() -> None:
    assert any("never held" in text for text in texts(plots.hyperparameter(never(), "size")))
    assert "not there" in texts(plots.lineage(never()))
    assert "not there" in texts(plots.parallel(never()))
    assert "not there" not in texts(plots.parallel(explored_without_gaps()))


@functools.cache
def explored_without_gaps() -> ramet.Result:
    point = {"kind": "y", "rate": 0.5, "size": 1}
    grid = ramet.Grid([point], turn_steps=2)

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 1.0}):
            turn.hparams["rate"], turn.hparams["size"]
            for _ in turn:
                turn.report(1.0)

    return ramet.run(train, NEVER, grid, steps=4, mode="max", seed=0)


def test_a_tree_says_which_turns_had_no_such_value() -> None:
    assert "without momentum" in texts(plots.tree(explored(), "momentum"))
    assert "without lr[0]" not in texts(plots.tree(explored(), "lr[0]"))


@pytest.mark.parametrize("result", [explored, never])
def test_a_report_says_when_each_is_there(result: Any, tmp_path: Path) -> None:
    ramet.report.write(result(), tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert "is there when" in page
    if result is explored:
        assert "&#x27;optimizer&#x27; is &#x27;sgd&#x27;" in page or "'optimizer' is 'sgd'" in page
        assert "must be at most 0.5 times" in page
        assert "Move together" in page


def test_a_front_has_gaps_in_reports_and_on_terminals(tmp_path: Path) -> None:
    def train(session: ramet.Session) -> None:
        state = {"w": session.rng.normal()}
        for turn in session.turns(state):
            for _ in turn:
                state["w"] *= turn.hparams["rate"] - turn.hparams.get("size", 0)
                turn.report(-abs(state["w"]), cost=turn.hparams.get("size", 0))

    store = tmp_path / "runs.db"
    strategy = ramet.PBT(population=5, turn_steps=2, exploit=ramet.Pareto({"cost": "min"}))
    result = ramet.run(train, NEVER, strategy, steps=6, mode="max", seed=0, store=store)
    assert any("size" not in each.hparams for each in result.front())

    assert "The front" in ramet.report.page(result)
    said = shell.ramet("front", store)
    assert said.exit_code == 0
    assert " - " in f"{said.stdout} ".replace("\n", " \n")

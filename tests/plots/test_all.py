"""What holds for every plot."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ramet
from ramet import plots
from ramet.errors import UnknownHyperparameter, UsageError
from tests.plots.runs import (
    EXTREMES,
    alone,
    begun,
    descended,
    extreme,
    fired,
    loosely,
    mixed,
    troubled,
)

Plot = Callable[..., Axes]

PLOTS: dict[str, Plot] = {
    "scores": plots.scores,
    "hyperparameter": lambda result, ax=None: plots.hyperparameter(result, "lr", ax),
    "importance": plots.importance,
    "tree": plots.tree,
    "tree of lr": partial(plots.tree, color="lr"),
    "lineage": plots.lineage,
    "parallel": plots.parallel,
    "workers": plots.workers,
    "best_so_far": lambda result, ax=None: plots.best_so_far([result], ax),
}
RESULTS: dict[str, Callable[[], ramet.Result]] = {
    "pbt": descended,
    "min": partial(descended, "min"),
    "one member": alone,
    "mixed": mixed,
    "fire": fired,
    "loosely": loosely,
    "troubled": troubled,
    "not begun": lambda: begun().result(),
    **{name: partial(extreme, name) for name in EXTREMES},
    "highest is best": partial(extreme, "the largest and the lowest", "max"),
}


def test_the_public_names_are_these() -> None:
    assert plots.__all__ == [
        *("best_so_far", "front", "hyperparameter", "importance", "lineage", "metric"),
        *("parallel", "save", "scores", "tree", "workers"),
    ]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("result", RESULTS)
def test_every_plot_is_drawn_of_every_run(plot: str, result: str) -> None:
    axes = PLOTS[plot](RESULTS[result]())
    axes.get_figure().draw_without_rendering()


@pytest.mark.parametrize("name", ["lr", "wide", "tiny"])
def test_domains_as_wide_as_floats_are_drawn(name: str) -> None:
    for plot in (plots.hyperparameter, plots.tree):
        plot(extreme("denormal"), name).get_figure().draw_without_rendering()


def test_what_is_not_drawn_where_it_is_is_said() -> None:
    for plot in (plots.scores, plots.tree, plots.parallel):
        said = [
            text.get_text() for text in plot(extreme("nothing but the largest")).get_legend().texts
        ]
        assert any("beyond 1e±100 are drawn there" in text for text in said)
        said = [text.get_text() for text in plot(descended()).get_legend().texts]
        assert not any("beyond 1e" in text for text in said)
    lineage = plots.lineage(extreme("nothing but the largest"))
    assert "score ≥1e100" in lineage.get_title(loc="left")
    assert "≥1e100" in [label.get_text() for label in lineage.get_yticklabels()]


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_draw_on_the_axes_that_they_are_given(plot: str) -> None:
    left, right = Figure().subplots(1, 2)
    assert PLOTS[plot](descended(), ax=right) is right
    assert not left.has_data()


@pytest.mark.parametrize("plot", PLOTS)
def test_what_is_no_result_or_no_axes_is_refused(plot: str) -> None:
    with pytest.raises(UsageError, match="must be of a Result"):
        PLOTS[plot]("runs.db")
    with pytest.raises(UsageError, match="must be one Matplotlib Axes, or None, but got nd"):
        PLOTS[plot](descended(), ax=Figure().subplots(1, 2))


def test_a_hyperparameter_that_is_not_there_is_refused() -> None:
    message = r"must be one of the run's, \['lr', 'decay'\], but got 'rate'"
    with pytest.raises(UnknownHyperparameter, match=message):
        plots.hyperparameter(descended(), "rate")
    with pytest.raises(UnknownHyperparameter, match=message):
        plots.tree(begun().result(), color="rate")


def test_results_that_cannot_share_an_axis_are_refused() -> None:
    with pytest.raises(UsageError, match=r"for one write \[result\]"):
        plots.best_so_far(descended())
    with pytest.raises(UsageError, match="of one mode"):
        plots.best_so_far([descended(), descended("min")])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_plot_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    once, twice = (tmp_path / f"{name}{suffix}" for name in ("once", "twice"))
    for path in (once, twice):
        plots.save(plots.tree(descended()), path)
    assert once.read_bytes() == twice.read_bytes()


def test_a_figure_is_saved_as_well_as_axes(tmp_path: Path) -> None:
    figure = Figure()
    plots.scores(descended(), ax=figure.subplots())
    plots.save(figure, tmp_path / "plot.svg")
    assert "members" in (tmp_path / "plot.svg").read_text()
    with pytest.raises(UsageError, match="must end with one of"):
        plots.save(figure, tmp_path / "plot")
    with pytest.raises(UsageError, match="must go where it can be written"):
        plots.save(figure, tmp_path / "nowhere" / "plot.svg")


def test_plots_leave_the_users_settings_alone() -> None:
    before: dict[str, Any] = dict(mpl.rcParams)
    for plot in PLOTS.values():
        plot(descended())
    assert dict(mpl.rcParams) == before


def test_without_matplotlib_the_import_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import ramet; import ramet.plots"
    failed = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert "pip install 'ramet[plots]'" in failed.stderr


def test_plots_need_no_display_and_load_no_pyplot() -> None:
    code = "import sys, ramet.plots; print('matplotlib.pyplot' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == [b"False"]

"""What each plot shows."""

import functools
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from msgspec.structs import replace

import ramet
from ramet import plots
from ramet.history import Lineage
from ramet.plots import drawing
from ramet.plots.shifts import Stints, stints_of
from ramet.report.picture import WIDE, canvas
from ramet.report.subject import Subject
from tests.engine.loops import SPACE, Descent, pbt
from tests.plots.runs import alone, begun, descended, fired, loosely, mixed, restarted, troubled

# What the black line is called.
HISTORY = "history of the best weights"


def texts(axes: Axes) -> list[str]:
    """Return what is written in axes, in their legend and above them."""
    legend = axes.get_legend()
    explained = legend.get_texts() if legend else []
    written = [text.get_text() for text in (*axes.texts, *explained)]
    return [*written, axes.get_title(loc="left")]


def lines(axes: Axes) -> list[LineCollection]:
    return [artist for artist in axes.collections if isinstance(artist, LineCollection)]


def vertices(drawn: LineCollection) -> list[np.ndarray]:
    return [np.asarray(path.vertices) for path in drawn.get_paths()]


# Scores


@pytest.mark.parametrize("mode", ["max", "min"])
def test_scores_are_drawn_as_they_were_reported(mode: str) -> None:
    result = descended(mode)
    axes = plots.scores(result)
    members = vertices(lines(axes)[0])
    shown = {round(float(y), 9) for path in members for _, y in path}
    assert shown == {round(row["score"], 9) for row in result.rows("scores")}
    assert all(score < 0 for score in shown)


def test_there_is_a_line_for_each_copy_from_the_old_score_to_the_copied_one() -> None:
    result = descended()
    copies = vertices(lines(plots.scores(result))[1])
    assert len(copies) == result.population.copies
    assert all(before[1] < after[1] and before[0] == after[0] for before, after in copies)


def test_losses_of_many_magnitudes_have_a_log_axis() -> None:
    assert plots.scores(loosely()).get_yscale() == "log"
    assert plots.scores(descended()).get_yscale() == "linear"


def test_scores_that_hide_all_others_are_left_out_and_counted() -> None:
    axes = plots.scores(troubled())
    assert "1 worse score is beyond the axis" in texts(axes)
    assert axes.get_ylim()[0] > -100


# Hyperparameters


def test_a_domain_has_its_axis() -> None:
    scales = {name: plots.hyperparameter(mixed(), name) for name in ("lr", "decay", "batch")}
    assert {name: axes.get_yscale() for name, axes in scales.items()} == {
        "lr": "log",
        "decay": "linear",
        "batch": "log",
    }


def test_options_of_a_choice_are_named() -> None:
    axes = plots.hyperparameter(mixed(), "kind")
    axes.get_figure().draw_without_rendering()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["flip", "crop", "None"]


def test_every_sub_population_has_a_colour_and_successes_have_a_dot_each() -> None:
    result = fired()
    axes = plots.hyperparameter(result, "lr")
    success = "success: an evaluator proved better"
    assert {"P1", "P2", "evaluators", HISTORY, success} <= set(texts(axes))
    assert len({tuple(drawn.get_color()[0]) for drawn in lines(axes)}) == 3
    dots = axes.collections[-1].get_offsets()
    lineage = result.lineage()
    trained_with = [
        c for c in lineage.copies if c.kind == "success" and (c.member, c.turn) in lineage.turns
    ]
    assert len(dots) == len(trained_with) > 0


def test_the_black_line_is_the_schedule_of_the_best() -> None:
    result = fired()
    (line,) = plots.hyperparameter(result, "lr").lines
    steps, values = np.asarray(line.get_data())
    starts = dict(result.schedule())
    assert list(dict.fromkeys(values)) == list(dict.fromkeys(h["lr"] for h in starts.values()))
    assert (steps[0], steps[-1]) == (0, result.best.step)


# The tree


def test_the_tree_has_a_branch_for_each_turn_coloured_by_its_score() -> None:
    result = descended()
    died, lives, *_ = lines(plots.tree(result))
    assert len(died.get_paths()) + len(lives.get_paths()) == result.population.turns
    drawn = [*died.get_array(), *lives.get_array()]
    assert sorted(drawn) == sorted(row["score"] for row in result.rows("turns"))
    assert died.get_alpha() < lives.get_alpha()
    behind_some = {turn.key for m in range(6) for turn in result.lineage().ancestors(m)}
    assert len(lives.get_paths()) == len(behind_some)


def crossings(axes: Axes) -> int:
    """Return how many pairs of branches cross between two times at which turns end."""
    edges = [
        tuple(map(tuple, pair))
        for drawn in lines(axes)[:2]
        for path in vertices(drawn)
        for pair in pairwise(path)
    ]
    count = 0
    for nth, ((x, y), (x2, y2)) in enumerate(edges):
        for (u, v), (u2, v2) in edges[:nth]:
            if (x, x2) == (u, u2) and (y - v) * (y2 - v2) < -1e-12:
                count += 1
    return count


@pytest.mark.parametrize("result", [descended, fired, mixed, loosely, alone])
def test_branches_do_not_cross(result: Any) -> None:
    assert crossings(plots.tree(result())) == 0


def test_the_tree_is_coloured_by_a_hyperparameter_on_its_scale() -> None:
    drawn = lines(plots.tree(mixed(), "lr"))[0]
    assert isinstance(drawn.norm, LogNorm)
    options = lines(plots.tree(mixed(), color="kind"))[0]
    assert set(options.get_array()) <= {0.0, 1.0, 2.0}


# The best


def test_the_lineage_names_each_hyperparameter_that_moves_and_each_member() -> None:
    axes = plots.lineage(mixed())
    written = texts(axes)
    assert {"lr, log scale", "decay", "batch, log scale", "kind"} <= set(written)
    assert {"score (higher is better)", "trained by member"} <= set(written)
    assert "fixed" not in written
    lineage = mixed().lineage()
    behind = Lineage.behind(lineage, mixed().best.checkpoint)
    assert {str(turn.member) for turn in behind} <= set(written)
    assert axes.get_xlim() == (0, mixed().best.step)


# All members


def test_each_member_is_a_line_coloured_by_its_score() -> None:
    result = mixed()
    axes = plots.parallel(result)
    begun_with, now = lines(axes)
    assert len(begun_with.get_paths()) == len(now.get_paths()) == len(result.population)
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        *("lr", "decay", "batch", "kind", "score")
    ]
    ends = np.array([path[-1, 1] for path in vertices(now)])
    assert (ends.min(), ends.max()) == (0, 1)


# Workers


def test_each_turn_is_a_bar_in_its_workers_row() -> None:
    result = alone()
    axes = plots.workers(result)
    assert axes.get_title(loc="left").startswith(f"{result.opening.name}: 1 worker, 6 turns, idle")
    (label,) = [label.get_text() for label in axes.get_yticklabels()]
    assert label.endswith("% idle")


def test_a_time_in_which_no_worker_trained_is_left_out() -> None:
    axes = plots.workers(restarted())
    assert any(text.endswith("later") for text in texts(axes))
    assert axes.get_xlim()[1] < 60


def test_the_time_before_the_first_turn_is_no_work() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    result.log[1:] = [replace(logged, at=logged.at + 3_600) for logged in result.log[1:]]

    late = Subject(result)

    assert late.paused_s == pytest.approx(3_600, abs=60)
    assert late.worked_s < 60


def test_a_turn_that_was_given_up_is_shown_by_its_attempts_alone() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.ones(1)}):
            for _ in turn:
                assert (turn.member, turn.number) != (2, 1)
            turn.report(0.0)

    result = ramet.run(
        train,
        SPACE,
        pbt(synchronous=True),
        steps=12,
        mode="max",
        seed=0,
        engine=ramet.Inline(failures=ramet.Failures(strict=False)),
    )
    stints, _ = stints_of(result)
    failed = stints.select(stints.failed)
    assert list(zip(failed.member, failed.turn, strict=True)) == [(2, 1), (2, 1)]


def test_the_steps_of_the_best_weights_are_told_where_the_axis_has_others() -> None:
    strategy = pbt(10)
    found = (
        ramet.run(Descent(), SPACE, strategy, steps=24, mode="max", seed=it) for it in range(9)
    )
    result = next(it for it in found if it.best.step != it.best.trained)
    said = f"{HISTORY} ({result.best.step} steps along copies)"
    for plot in (plots.scores, plots.tree, functools.partial(plots.hyperparameter, name="lr")):
        assert said in texts(plot(result))


@pytest.mark.parametrize("pause_s", [0.0, 0.1, 10.0])
def test_pauses_that_are_too_short_to_be_drawn_are_said(
    pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2_000
    start = np.arange(count) * (1 + pause_s)
    stints = Stints(
        names=["w"],
        worker=np.zeros(count, int),
        start=start,
        stop=start + 1,
        member=np.zeros(count, int),
        turn=np.arange(count),
        failed=np.zeros(count, bool),
    )
    monkeypatch.setattr(sys.modules["ramet.plots.workers"], "stints_of", lambda _: (stints, []))

    said = texts(plots.workers(alone()))

    # A pixel is about two seconds, or twenty with the longest pauses.
    assert ("idle; many pauses are too short to be drawn" in said) is (pause_s > 0)


def test_failed_turns_are_shown() -> None:
    assert "failed" in texts(plots.workers(troubled()))


# Several runs


def test_the_best_so_far_is_the_median_of_runs() -> None:
    runs = [descended("max", seed=seed) for seed in range(3)]
    (line,) = plots.best_so_far({"pbt": runs}).lines
    steps, values = np.asarray(line.get_data(orig=True))
    assert values[-1] == np.median([run.best.score for run in runs])
    assert steps[-1] == 24
    assert list(values) == sorted(values)


def test_the_best_of_a_run_of_fire_is_that_of_its_first_sub_population() -> None:
    (line,) = plots.best_so_far([fired()]).lines
    assert line.get_data()[1][-1] == fired().best.score


def test_runs_without_a_score_are_counted() -> None:
    axes = plots.best_so_far({"pbt": [descended(), begun().result()]})
    assert "pbt (1 of 2 runs, others have no score)" in texts(axes)


# What is missing


@pytest.mark.parametrize("plot", [plots.scores, plots.tree, plots.parallel, plots.workers])
def test_a_run_that_has_ended_no_turn_says_so(plot: Any) -> None:
    assert any(text.startswith("no turn has ended") for text in texts(plot(begun().result())))


def test_scores_that_are_all_not_finite_are_said() -> None:
    def diverge(session: ramet.Session) -> None:
        for turn in session.turns({"x": np.zeros(1)}):
            for _ in turn:
                pass
            turn.report(math.nan)

    space = ramet.Space(lr=ramet.Uniform(0.0, 1.0))
    strategy = ramet.RandomSearch(population=3, turn_steps=2)
    result = ramet.run(diverge, space, strategy, steps=4, mode="max", seed=0)
    assert "no score is finite" in texts(plots.scores(result))
    assert any("finite score" in text for text in texts(plots.lineage(result)))
    assert any("finite score" in text for text in texts(plots.parallel(result)))
    assert any("finite score" in text for text in texts(plots.best_so_far([result])))
    plots.tree(result).get_figure().draw_without_rendering()


def test_a_name_that_would_be_a_formula_is_written_as_it_is(tmp_path: Path) -> None:
    space = ramet.Space({"l$r": ramet.Uniform(0.0, 1.0), "_$b": ramet.Choice(["$a", "$\\b"])})

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"x": np.zeros(1)}):
            for _ in turn:
                pass
            turn.report(turn.hparams["l$r"] + len(turn.hparams["_$b"]))

    strategy = ramet.RandomSearch(population=3, turn_steps=2)
    result = ramet.run(train, space, strategy, steps=4, mode="max", seed=0, name="$10 $20_{")
    plots.save(plots.hyperparameter(result, "_$b"), tmp_path / "a.svg")
    plots.save(plots.parallel(result), tmp_path / "b.svg")
    plots.save(plots.lineage(result), tmp_path / "c.svg")
    plots.save(plots.best_so_far({"_$x$": [result]}), tmp_path / "d.svg")
    assert "$10 $20_{" in (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize("letter", ["W", "学"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_long_names_leave_plots_their_width(letter: str) -> None:
    def train(session: ramet.Session) -> None:
        state = {"x": np.zeros(1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] += sum(turn.hparams.values())
            turn.report(state["x"][0])

    space = ramet.Space({letter * 300: ramet.Uniform(0.1, 1.0), "lr": ramet.LogUniform(0.1, 1.0)})
    result = ramet.run(train, space, pbt(12, synchronous=True), steps=24, mode="max", seed=0)
    for draw in (plots.importance, plots.lineage):
        with canvas(WIDE, 6.0) as axes:
            draw(result, ax=axes)
            drawing.figure_of(axes).draw_without_rendering()
            assert axes.get_position().width > 0.7


def test_wide_letters_are_cut_to_the_room_that_they_take() -> None:
    axes = Figure().add_subplot()
    latin, wide, both = (
        drawing.fit_across(axes, name) for name in ("x" * 300, "学" * 300, "学x" * 150)
    )
    assert len(wide) == pytest.approx(len(latin) / 2, abs=1)
    assert len(wide) < len(both) < len(latin)
    assert drawing.fit_across(axes, "学習率") == "学習率"

"""Plots of more members than have a line each, and how axes and importance are drawn."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

import ramet
from ramet import plots
from ramet.plots import drawing
from ramet.plots.bands import MANY
from ramet.plots.scales import Scale
from ramet.report.dark import DARK_SHEET, LIGHT_SHEET, measure_contrast, turn_dark
from ramet.report.picture import NARROW, WIDE, Format, canvas
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.engine.loops import SPACE, Descent, pbt
from tests.plots.runs import descended, fired, loosely, mixed
from tests.plots.test_drawn import HISTORY, texts, vertices


@functools.cache
def crowd(members: int = MANY + 6) -> ramet.Result:
    """Return a run of more members than have a line each, one of which diverges at first."""

    class Odd(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            score = super().evaluate(state)
            return -1e6 if score < -3.9 and state["seen"] <= 4 else score

    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0),
        decay=ramet.Uniform(0.0, 0.5),
        kind=ramet.Choice(["flip", "crop", None]),
    )
    return ramet.run(Odd(), space, pbt(members, synchronous=True), steps=24, mode="max", seed=0)


def filled(axes: Any) -> list[PolyCollection]:
    return [it for it in axes.collections if isinstance(it, PolyCollection)]


def test_many_members_are_bands_with_the_best_and_some_others() -> None:
    for axes in (plots.scores(crowd()), plots.hyperparameter(crowd(), "lr")):
        assert not [it for it in axes.collections if isinstance(it, LineCollection)]
        assert len(filled(axes)) == 2
        written = texts(axes)
        assert {"9 of 10 members", "half of members", "median", HISTORY} <= set(written)
        others = [text for text in written if text.startswith("history of member ")]
        ranks = [text.partition(", ")[2] for text in others]
        assert ranks == ["better than 3 of 4", "better than half", "better than 1 of 4"]


def test_as_many_members_as_have_a_line_each_have_no_bands() -> None:
    assert not filled(plots.scores(crowd(MANY)))


def test_the_median_line_is_the_median_of_the_members() -> None:
    axes = plots.hyperparameter(crowd(), "lr")
    median = next(line for line in axes.lines if line.get_color() == drawing.COLOURS[1])
    first = sorted(birth.hparams["lr"] for birth in crowd().opening.births)
    assert median.get_ydata()[0] in first[len(first) // 2 - 1 : len(first) // 2 + 1]


def test_options_of_many_members_are_heights_that_add_up_to_all() -> None:
    axes = plots.hyperparameter(crowd(), "kind")
    heights = []
    for band in filled(axes):
        (path,) = band.get_paths()
        at_start = path.vertices[path.vertices[:, 0] == 0, 1]
        heights.append(at_start.max() - at_start.min())
    assert sum(heights) == pytest.approx(0.8)


def test_sub_populations_of_many_members_have_a_band_each() -> None:
    strategy = ramet.FIRE.for_workers(33, turn_steps=48, evaluate_every=4)
    result = ramet.run(Quadratic(), QUADRATIC_SPACE, strategy, steps=96, mode="max", seed=0)
    axes = plots.hyperparameter(result, "lr")
    groups = {
        f"P{nth}: half, median" for nth in range(1, 1 + result.opening.strategy["subpopulations"])
    }
    assert groups <= set(texts(axes))
    assert len(filled(axes)) == len(groups)


def test_a_score_that_diverged_at_first_does_not_set_the_axis() -> None:
    axes = plots.scores(crowd())
    assert axes.get_ylim()[0] > -100


def test_many_members_side_by_side_are_grey_but_for_the_best() -> None:
    axes = plots.parallel(crowd())
    (now,) = [
        it for it in axes.collections if isinstance(it, LineCollection) and len(it.get_paths())
    ]
    grey = sum(to_hex(colour) == to_hex(drawing.GREY) for colour in now.get_colors())
    assert (grey, len(now.get_paths())) == (len(crowd().population) - 3, len(crowd().population))
    assert "the best 3 have the score's colour" in texts(axes)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_better_end_of_scores_is_marked(mode: Any) -> None:
    axes = plots.parallel(descended(mode))
    (mark,) = [text for text in axes.texts if text.get_text().startswith("better")]
    assert mark.get_rotation() == (90 if mode == "max" else 270)
    assert (
        f"{'higher' if mode == 'max' else 'lower'} is better"
        in plots.scores(descended(mode)).get_ylabel()
    )


def test_one_hyperparameter_has_no_lines_through_all() -> None:
    axes = plots.parallel(loosely())
    assert any("with one hyperparameter" in text for text in texts(axes))
    assert not [it for it in axes.collections if isinstance(it, LineCollection)]


def test_log_axes_have_values_at_decades_and_marks_between() -> None:
    axes = plots.scores(loosely())
    axes.get_figure().draw_without_rendering()
    low, high = axes.get_ylim()
    shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert len(shown) > 2
    np.testing.assert_allclose(np.log10(shown), np.round(np.log10(shown)), atol=1e-9)
    # 0.3 to 3 has one decade within, and so 0.5 and 2 as well.
    assert Scale(name="lr", log=True).ticks(0.3, 3.0) == pytest.approx([0.5, 1.0, 2.0])


def test_values_that_differ_little_are_written_with_more_digits() -> None:
    scale = Scale(name="score")
    assert scale.texts([0.9725, 0.973, 0.9735]) == ["0.9725", "0.973", "0.9735"]
    assert scale.texts([0.1, 1234.5]) == ["0.1", "1,230"]
    assert Scale(name="kind", options=("a", "a")).texts([0.0, 1.0]) == ["a", "a"]
    assert scale.texts([1.0, 1.0]) == ["1", "1"]
    assert scale.texts([1e6 + 0.001, 1e6 + 0.002]) == ["1,000,000.001", "1,000,000.002"]


def test_the_tree_has_no_axis_of_heights_and_names_its_roots() -> None:
    for result in (descended(), fired(), mixed()):
        axes = plots.tree(result)
        assert not len(axes.get_yticks())
        assert axes.get_ylabel() == ""
        standing = result.lineage().founders()
        assert {f"member {founder}" for founder in standing} <= set(texts(axes))


@pytest.mark.parametrize("form", [WIDE, NARROW])
@pytest.mark.parametrize("turn_steps", [4, 10**7])
def test_steps_below_the_schedule_do_not_touch(turn_steps: int, form: Format) -> None:
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    strategy = pbt(6, turn_steps=turn_steps, synchronous=True)
    long = ramet.run(Stands(), space, strategy, steps=6 * turn_steps, mode="max", seed=0)
    with canvas(form, 4.0) as empty:
        axes = plots.lineage(long, empty)
        axes.figure.draw_without_rendering()
        boxes = [it.get_window_extent() for it in axes.get_xticklabels() if it.get_text()]
    inside = [box for box in boxes if axes.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1 + 1]
    assert len(inside) > 1
    assert all(one.x1 + 2 < other.x0 for one, other in itertools.pairwise(inside))


class Stands(Descent):
    """Takes no time, however many steps it is."""

    def step(self, state: Any, hparams: Any, steps: int, rng: Any) -> Any:
        return super().step(state, {**hparams, "decay": 0.0}, 1, rng)


def test_the_tree_says_how_many_of_its_roots_are_named_where_there_is_no_room_for_all() -> None:
    random = ramet.RandomSearch(population=60, turn_steps=12, synchronous=True)
    result = ramet.run(Descent(), SPACE, random, steps=24, mode="max", seed=0)

    said = texts(plots.tree(result))

    names = [text for text in said if text.startswith("member ")]
    assert 2 < len(names) < 60
    (remark,) = [text for text in said if "60 of 60" in text]
    assert remark.endswith(f"60 of 60 live on, {len(names)} are named")
    assert "heights mean nothing" in said


def test_all_colours_of_lines_are_seen_on_white_and_on_a_dark_page() -> None:
    values = map(to_hex, drawing.shades()(np.linspace(0, 1)))
    colours = [*values, *map(to_hex, (*drawing.COLOURS, *drawing.OTHERS, drawing.GREY))]
    assert min(measure_contrast(colour, LIGHT_SHEET) for colour in colours) >= 3
    assert min(measure_contrast(colour, DARK_SHEET) for colour in turn_dark(colours)) >= 2.98


def test_copies_between_members_are_explained_where_they_are_drawn() -> None:
    axes = plots.lineage(mixed())
    assert ("weights copied to another member" in texts(axes)) == bool(
        len({turn.member for turn in mixed().lineage().behind(mixed().best.checkpoint)}) > 1
    )


def test_members_paths_are_drawn_where_they_are() -> None:
    now = [it for it in plots.parallel(mixed()).collections if isinstance(it, LineCollection)][-1]
    assert all(((path[:, 1] >= -0.13) & (path[:, 1] <= 1)).all() for path in vertices(now))

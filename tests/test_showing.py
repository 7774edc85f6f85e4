"""What notebooks show: tables and pictures as HTML, in which no name or value is markup."""

import html.parser
import math
from typing import Any

import pytest

import ramet
from ramet import showing
from ramet.errors import UsageError
from ramet.schedule import Piece
from tests.cli.quick import train

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e'
# What HTML for notebooks is made of.
TAGS = {"div", "b", "table", "tr", "th", "td", "svg", "polyline", "pre"}
ATTRIBUTES = {"style", "width", "height", "role", "points", "fill", "stroke", "stroke-width"}


class Reader(html.parser.HTMLParser):
    """Notes the tags, attributes and texts of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(shown: Any) -> Reader:
    reader = Reader()
    reader.feed(shown._repr_html_())
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES
    return reader


def wicked(session: ramet.Session) -> None:
    for turn in session.turns({"w": 0.0}):
        for _ in turn:
            _ = turn.hparams[EVIL]
        if turn.member == 1:
            raise ValueError(EVIL)
        turn.report(1.0 + turn.number)


@pytest.fixture(scope="module")
def evil() -> ramet.Result:
    """A run whose name, hyperparameters, values and errors are HTML."""
    space = ramet.Space({EVIL: ramet.Choice([EVIL, "</td>", "<!--"])})
    run = ramet.open(
        name="<i>run</i>",
        space=space,
        strategy=ramet.PBT(population=5, turn_steps=10),
        steps=100,
        mode="max",
        seed=0,
    )
    # Not over, so that its last failure is shown.
    for _ in range(12):
        turn = run.ask()
        assert turn is not None
        if turn.member == 1:
            run.fail(turn, ValueError(EVIL))
            continue
        list(turn)
        _ = turn.hparams[EVIL]
        run.tell(turn, 1.0 + turn.number, state={"w": 0.0})
    return run.result()


SHOWN = [
    lambda result: result,
    lambda result: result.best,
    lambda result: result.population,
    lambda result: result.population.space,
    lambda result: result.lineage(),
    lambda result: result.schedule(),
    lambda result: ramet.RandomSearch(population=1, initial=[{EVIL: EVIL}]),
]


@pytest.mark.parametrize("choose", SHOWN)
def test_no_name_or_value_is_markup(choose: Any, evil: ramet.Result) -> None:
    shown = choose(evil)
    text = "".join(read(shown).texts)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x1b" not in repr(shown)


def test_a_result_shows_its_last_failure_as_text(evil: ramet.Result) -> None:
    text = "".join(read(evil).texts)
    assert "The last failure, of member 1" in text
    assert "<script>alert(1)</script>" in text


def test_a_report_is_in_a_frame_that_cannot_reach_the_notebook(evil: ramet.Result) -> None:
    pytest.importorskip("matplotlib")
    shown = evil.report()
    reader = Reader()
    reader.feed(shown._repr_html_())
    assert reader.tags == {"iframe"}
    assert 'sandbox="allow-scripts"' in shown._repr_html_()
    assert repr(shown).startswith("Report(")


def test_only_plots_of_one_run_can_be_asked_for(evil: ramet.Result) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match=r"must be one of \['front', .*, but got 'save'"):
        evil.plot("save")


def test_a_result_is_shown_from_its_first_score_to_its_best() -> None:
    strategy = ramet.PBT(population=5, turn_steps=10)
    space = {"lr": ramet.LogUniform(1e-3, 1.0)}
    result = ramet.run(train, space, strategy, steps=40, mode="max", seed=0)
    text = "".join(read(result).texts)
    points = [turn.points[-1][1] for turn in result.lineage().behind(result.best.checkpoint)]
    assert f"best score {result.best.score:.6g} at step 40" in text
    assert f"its weights began with {points[0]:.6g} at step 10" in text
    assert "done, 100% of 40 steps each, 5 members" in text


def test_a_run_without_a_best_is_shown() -> None:
    run = ramet.open(
        space={"lr": ramet.Uniform(0.0, 1.0)},
        strategy=ramet.RandomSearch(population=3, turn_steps=10),
        steps=20,
        mode="max",
        seed=0,
    )
    text = "".join(read(run.result()).texts)
    assert "no score yet" in text
    read(run.result().lineage())
    read(run.population)


def test_a_schedule_of_many_pieces_takes_one_screen() -> None:
    pieces = tuple(
        Piece(start=at, stop=at + 1, hparams={"lr": 0.1 / (at + 1), "kind": "flip"})
        for at in range(1_000)
    )
    schedule = ramet.Schedule(pieces)
    lines = repr(schedule).splitlines()
    assert lines[0] == "Schedule(1,000 pieces, 1,000 steps)"
    assert len(lines) == 22
    assert lines[-1].startswith("steps 999 to 1,000")
    reader = read(schedule)
    # A number is drawn, and a choice is not.
    assert "svg" in reader.tags
    assert schedule._repr_html_().count("<svg") == 1


def test_a_schedule_of_many_hyperparameters_takes_one_screen() -> None:
    hparams = {f"h{number}": 0.1 + number for number in range(300)}
    schedule = ramet.Schedule((Piece(start=0, stop=10, hparams=hparams),))
    assert len(repr(schedule)) < 300
    assert schedule._repr_html_().count("<tr>") == 22


def test_a_long_line_is_as_large_as_its_picture_and_keeps_its_peaks() -> None:
    values = [1.0 + math.sin(at / 1_000) for at in range(200_000)]
    values[123_456], values[150_001] = 9.0, -9.0
    # Each of these is looked at a few times at the most; a quadratic cost would take hours.
    drawn = showing.draw_line(list(enumerate(values)))
    assert len(drawn) < 10_000
    ys = [float(place.split(",")[1]) for place in drawn.split('points="')[1].split('"')[0].split()]
    assert (min(ys), max(ys)) == (showing.MARGIN, showing.MARGIN + showing.HEIGHT)
    assert drawn.split('points="')[1].startswith("0.0,")


def test_only_the_rows_that_are_shown_are_written() -> None:
    written = []
    showing.table(["number"], range(100_000), show=lambda it: written.append(it) or [it])
    assert len(written) == showing.ROWS


def test_a_large_population_takes_one_screen() -> None:
    run = ramet.open(
        space={f"h{number}": ramet.Uniform(0.0, 1.0) for number in range(50)},
        strategy=ramet.RandomSearch(population=500, turn_steps=10),
        steps=20,
        mode="max",
        seed=0,
    )
    shown = run.population._repr_html_()
    assert shown.count("<tr>") == 22
    assert shown.count("<th ") == 15


@pytest.mark.parametrize(
    "values", [[], [1.0], [math.nan, 2.0], [1e308, -1e308], [5e-324, 1e308], [3.0, 3.0]]
)
def test_any_numbers_can_be_drawn(values: list[float]) -> None:
    drawn = showing.draw_line(list(enumerate(values)))
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert bool(drawn) == (sum(map(math.isfinite, values)) > 1)


def test_a_long_traceback_takes_a_part_of_the_screen() -> None:
    shown = showing.quote("line\n" * 100_000)
    assert len(shown) < 25_000
    assert "max-height" in shown

"""Pictures and pages of runs that are longer than these can show."""

import re
import sys

import pytest

from benchmarks.lineage import log
from ramet import plots, report
from ramet.blobs import MemoryBlobs
from ramet.events import RunOpened
from ramet.history import Result
from ramet.history.lineage import Lineage
from ramet.history.turns import Key
from ramet.plots import thinning
from ramet.plots.thinning import thin
from ramet.report import picture
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.plots.runs import descended, loosely
from tests.report.reading import Read

# Turns that a picture shows, here, and that a page tells of.
MOST = 400
# Events that are written in a second.
EVENTS = 7


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pictures and pages show little."""
    monkeypatch.setattr(thinning, "MOST", MOST)
    monkeypatch.setattr(thinning, "LEAST", 2)
    monkeypatch.setattr("ramet.report.figures.LABELLED_TURNS", MOST // 4)
    monkeypatch.setattr("ramet.report.schedule.ROWS", 10)
    for form in ("WIDE", "NARROW"):
        dense = getattr(picture, form)._replace(dense_points=200)
        monkeypatch.setattr(f"ramet.report.figures.{form}", dense)
    monkeypatch.setattr(sys.modules["ramet.plots.scores"], "COPIES", 50)
    monkeypatch.setattr(sys.modules["ramet.plots.lineage"], "MOVES", 5)


def run_of(members: int, turns: int, *, synchronous: bool = True) -> Result:
    """Return a run that is done."""
    opening, *events = log(members, turns, synchronous=synchronous)
    assert isinstance(opening, RunOpened)
    clock = FakeClock()
    store = MemoryStore(clock)
    store.open_run(opening, worker="w")
    for first in range(0, len(events), EVENTS):
        lease = store.claim("run", worker="w", ttl_s=60.0)
        assert lease is not None
        clock.sleep(1.0)
        store.commit(lease, events[first : first + EVENTS], [])
    return Result(store=store, blobs=MemoryBlobs(), name="run")


def path(lineage: Lineage, member: int) -> list[Key]:
    return [turn.key for turn in lineage.ancestors(member)]


@pytest.mark.parametrize("result", [descended(), loosely()], ids=["rounds", "no rounds"])
def test_ancestors_in_a_thinned_lineage_are_those_that_are_kept(result: Result) -> None:
    lineage = result.lineage()
    stands = [lineage.weights(member) for member in range(len(result.population))]
    keys = {(it.member, it.turn) for it in stands if it} | set(list(lineage.turns)[::3])
    thin = lineage.thin(keys)
    assert set(thin.turns) == keys
    for member in range(len(result.population)):
        assert path(thin, member) == [key for key in path(lineage, member) if key in keys]
        spans = [(turn.start, turn.stop) for turn in thin.ancestors(member)]
        assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]


def test_a_thinned_turn_has_the_outermost_scores_of_all_that_it_spans() -> None:
    result = descended()
    lineage = result.lineage()
    last = lineage.weights(0)
    assert last is not None
    thin = lineage.thin({(last.member, last.turn)})
    (turn,) = thin.turns.values()
    whole = [score for it in lineage.behind(last) for _, score in it.points if score is not None]
    told = [score for _, score in turn.points if score is not None]
    assert (min(told), max(told), told[-1]) == (min(whole), max(whole), whole[-1])
    assert (turn.start, turn.origin) == (0, None)


def test_a_run_that_a_picture_has_room_for_is_drawn_as_it_is() -> None:
    assert thin(descended()) is descended().lineage()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("synchronous", [True, False])
def test_what_is_drawn_of_a_long_run_has_its_best_and_all_members(*, synchronous: bool) -> None:
    result = run_of(10, 100, synchronous=synchronous)
    drawn = thin(result)
    assert MOST // 2 < len(drawn.turns) <= MOST + 11
    assert thin(result) is drawn
    assert result.population.best is not None
    best = result.population.best.checkpoint
    assert drawn.behind(best)[-1].checkpoint == best
    assert [drawn.weights(member) for member in range(10)] == [
        result.lineage().weights(member) for member in range(10)
    ]


@pytest.mark.usefixtures("small")
def test_a_picture_says_how_many_turns_it_shows() -> None:
    result = run_of(10, 100)
    said = f"{len(thin(result).turns):,} of 1,000 turns are drawn"
    for axes in (plots.scores(result), plots.tree(result), plots.hyperparameter(result, "lr")):
        legend = axes.get_legend()
        assert legend is not None
        assert said in [text.get_text() for text in legend.get_texts()]


@pytest.mark.usefixtures("small")
def test_a_picture_says_how_many_copies_it_shows() -> None:
    legend = plots.scores(run_of(10, 100)).get_legend()
    assert legend is not None
    assert "copies (50 of 200)" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.usefixtures("small")
def test_moves_that_there_is_no_room_for_are_counted() -> None:
    title = plots.lineage(run_of(10, 100)).get_title(loc="left")
    assert re.search(r", \d+ moves? between members$", title)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_page_of_ten_times_the_events_is_hardly_larger() -> None:
    short, long = (report.page(run_of(10, turns)) for turns in (100, 1_000))
    assert len(long) < 1.5 * len(short)
    text = Read(long).text
    assert re.search(r"And [\d,]+ pieces after these", text)
    assert "print(result.schedule().to_python()) prints them as Python code" in text

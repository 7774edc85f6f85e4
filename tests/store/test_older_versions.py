"""A store that an older version wrote, with two half-done runs, opens and goes on.

The name of its folder says which commit wrote it, with the task, the strategies and the budgets
below, ``mode="min"`` and seed 0.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.history import load
from ramet.report import write
from tests.engine.loops import SPACE, Descent
from tests.engine.scripts import findings_in

WRITTEN = Path(__file__).parent / "written_by_1d27874"
STRATEGIES: dict[str, ramet.Strategy] = {
    "pbt": ramet.PBT(population=5, turn_steps=4, synchronous=True),
    "fire": ramet.FIRE(subpopulations=2, size=2, evaluators=2, turn_steps=16, evaluate_every=4),
}
STEPS = {"pbt": 24, "fire": 96}

pytestmark = pytest.mark.parametrize("name", STRATEGIES)


class Distance(Descent):
    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of the store, which may be written to."""
    shutil.copytree(WRITTEN, tmp_path / "copy")
    return tmp_path / "copy" / "runs.sqlite"


def go_on(store: Path, name: str, *, more: int = 0, **settings: Any) -> ramet.Result:
    return ramet.run(
        Distance(),
        SPACE,
        STRATEGIES[name],
        steps=STEPS[name] + more,
        mode="min",
        store=store,
        name=name,
        **settings,
    )


def test_it_opens_with_all_that_was_recorded(store: Path, name: str) -> None:
    result = load(store, name)

    best = min(row["score"] for row in result.rows("turns") if row["score"] is not None)
    assert result.best.score == best > 0
    w = result.best.load()["w"]
    # Processors round sums of products differently.
    assert w @ w == pytest.approx(best, rel=1e-12)
    assert not result.population.done
    assert findings_in(store, name) == []


def test_it_goes_on_where_it_stopped(store: Path, name: str) -> None:
    before = load(store, name)

    after = go_on(store, name)

    assert after.population.done
    assert after.events[: len(before.events)] == before.events
    assert after.best.score <= before.best.score
    assert findings_in(store, name) == []


def test_it_goes_on_as_a_run_of_this_version_does(store: Path, name: str, tmp_path: Path) -> None:
    whole = go_on(tmp_path / "new.db", name, seed=0)

    assert go_on(store, name).population.best == whole.population.best


def test_it_is_extended(store: Path, name: str) -> None:
    go_on(store, name)

    longer = go_on(store, name, more=32, existing="extend")

    assert {member.trained for member in longer.population} == {STEPS[name] + 32}


def test_its_schedule_is_replayed(store: Path, name: str) -> None:
    result = go_on(store, name)

    again = ramet.replay(Distance(), result.schedule(), seeds=None)

    assert again.scores == [pytest.approx(result.best.score)]


def test_it_is_reported(store: Path, name: str, tmp_path: Path) -> None:
    write(load(store, name), tmp_path / "report.html")

    assert name in (tmp_path / "report.html").read_text()

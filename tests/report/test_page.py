"""What a report says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet import report, wording
from ramet.errors import UsageError
from ramet.history.replayed import Replayed, replays
from ramet.report import picture
from tests.engine.loops import Descent, descent_loop, pbt
from tests.plots.runs import EXTREMES, extreme
from tests.report.reading import Read
from tests.report.runs import HOSTILE, finished, hostile


@pytest.fixture(scope="module")
def read(page: str) -> Read:
    return Read(page)


def test_the_answer_is_the_best_score_as_it_was_reported(read: Read, result: ramet.Result) -> None:
    best = result.best
    assert f"{best.score:.6g}first → best score of the best weights, lower is better" in read.text
    assert best.checkpoint.key in read.text
    assert "ramet.history.load('runs.db', 'bowl')" in read.text


def test_a_page_is_the_same_without_the_logs_events_in_memory(
    page: str, result: ramet.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pages of the log that end in the midst of rounds, and one that ends with it.
    for events in (7, len(result.log)):
        monkeypatch.setattr("ramet.history.reading.PAGE_EVENTS", events)
        name = result.opening.name
        slim = ramet.Result.without_log(store=result.store, blobs=result.blobs, name=name)
        assert report.page(slim) == page
        assert "log" not in vars(slim)
        assert slim.log == result.log


def test_the_best_at_the_end_is_beside_the_best_ever() -> None:
    class Lucky(Descent):
        def evaluate(self, state: Any) -> float:
            return 9.0 if state["seen"] == 8 else super().evaluate(state)

    result = finished(Lucky(), strategy=pbt(exploit=None))
    text = Read(report.page(result)).text
    assert "9first → best score of the best weights, higher is better" in text
    assert f"{result.final.score:.6g}best at the end" in text
    assert f"member {result.final.member}, at step 24" in text
    assert "result.final.load()" in text
    assert (
        "luckiest measurement" not in Read(report.page(finished(strategy=pbt(exploit=None)))).text
    )


@pytest.mark.parametrize("scores", EXTREMES)
def test_scores_at_the_ends_of_floats_have_a_report(scores: str) -> None:
    result = extreme(scores)
    text = Read(report.page(result)).text
    name = "(first → best score of the best weights|best score), lower is better"
    assert re.search(re.escape(f"{result.best.score:.6g}") + name, text)
    replayed = Replayed(schedule=result.schedule(), result=result)
    assert f"{replayed.mean:.6g}" in str(replayed)


def test_the_schedule_is_there_to_paste_and_to_replay(read: Read, result: ramet.Result) -> None:
    assert result.schedule().to_python() in read.text
    assert "ramet.replay(train, schedule, seeds=[0, 1, 2, 3, 4], store='runs.db')" in read.text
    assert "ramet replay runs.db bowl YOUR_SCRIPT.py --seeds 5" in read.text
    assert "Put the path of your script in place of YOUR_SCRIPT.py" in read.text


def test_what_ran_can_be_read(read: Read) -> None:
    assert "PBT on 6 members, 24 steps each · done" in read.text
    assert "lower is better (mode='min')" in read.text
    assert "0.001 to 1.0, on a log scale" in read.text
    assert "PBT(population=6, turn_steps=4, " in read.text


def test_replays_stand_beside_the_original(read: Read, result: ramet.Result) -> None:
    (replayed,) = replays(result)
    scores = wording.mean_and_spread(replayed.mean, replayed.sd)
    assert f"this schedule (bowl-replay)3 seeds{scores}" in read.text


class Changing(Descent):
    """Scores whether the learning rate has ever changed, and what the network began with."""

    gain = 1.0

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"first": 0.01 * rng.random(), "lr": 0.0, "changed": False, "seen": 0}

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        del rng
        now = {"lr": hparams["lr"] + 0 * hparams["decay"], "seen": state["seen"] + steps}
        return state | now | {"changed": state["changed"] or state["lr"] not in {0.0, now["lr"]}}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["first"] + self.gain * state["changed"])


@pytest.mark.parametrize(
    ("gain", "seeds", "said"),
    [
        (1.0, 3, "networks are 1 better than with its last values alone."),
        (-0.5, 3, "networks are 0.5 worse than with its last values alone."),
        (0.0, 3, "networks are as good as with its last values alone."),
        (0.001, 3, "0.001 better than with its last values alone, which is less than the networks"),
        (1.0, 1, None),
    ],
)
def test_what_the_schedule_is_worth_is_said_if_its_last_values_were_replayed(
    gain: float, seeds: int, said: str | None
) -> None:
    task = Changing()
    result = finished(task)
    schedule = result.schedule()
    assert len(schedule.pieces) > 1
    task.gain = gain
    for name, one in (("whole", schedule), ("last", schedule.last_values())):
        ramet.replay(task, one, seeds=range(seeds), store=result.storage, name=name)
    text = Read(report.page(result)).text
    assert said in text if said else "With the whole schedule" not in text


def test_changes_are_listed_with_their_effects(read: Read, result: ramet.Result) -> None:
    changes = len(list(result.lineage().effects("lr")))
    assert re.search(rf"lr{changes}\d+%[+-]", read.text)
    assert "The most helpful changes" in read.text
    assert "The most harmful changes" in read.text


def test_time_disk_and_workers_are_reported(read: Read, result: ramet.Result) -> None:
    kept = result.blobs.sizes("bowl")
    assert f"{len(kept)} files (keep='lineage')" in read.text
    assert result.log[-1].worker in read.text
    assert "Failures" in read.text
    assert "None." in read.text


def test_a_page_fetches_nothing_and_runs_its_own_script_only(page: str, read: Read) -> None:
    assert all(address.startswith(("#", "data:image/png")) for address in read.addresses)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    assert not re.search(r"@import|url\((?!#|\\?\"?#)", page)
    assert "default-src 'none'" in page
    assert read.handlers == []


def test_no_two_parts_have_one_id(read: Read) -> None:
    assert len(read.ids) == len(set(read.ids))


def test_the_same_run_gives_the_same_page(page: str, result: ramet.Result) -> None:
    assert report.page(result) == page


def test_names_that_are_html_are_text(tmp_path: Path) -> None:
    result = hostile(tmp_path / "runs.db")
    assert result.population.failures
    assert result.population.best
    page = report.page(result)
    read = Read(page)
    # The turns, one for each plot with a pointer, and the page's own.
    assert read.tags.count("script") == 2 + read.tags.count("figure")
    assert "b" not in read.tags
    assert read.handlers == []
    assert f"Report of a population based training run{HOSTILE}" in read.text
    assert f"ValueError: {HOSTILE} in 4 steps" in read.text
    assert "$x_{<i>" in read.text


def test_a_run_in_memory_says_that_it_cannot_be_opened_again() -> None:
    text = Read(report.page(finished())).text
    assert "no file that stays" in text
    assert "ramet replay" not in text
    assert "state = result.best.load()  # in the process that trained it" in text


def test_large_runs_stay_small_and_say_how_many_turns_have_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ramet.report.figures.LABELLED_TURNS", 10)
    for form in ("WIDE", "NARROW"):
        dense = getattr(picture, form)._replace(dense_points=10)
        monkeypatch.setattr(f"ramet.report.figures.{form}", dense)
    result = finished()
    page = report.page(result)
    told = re.search(r'"part":"(\d+) of (\d+) turns"', page)
    assert told is not None
    assert int(told[1]) <= 12
    assert int(told[2]) == result.population.turns
    assert "data:image/png;base64," in page


def test_a_report_replaces_what_was_there(result: ramet.Result, page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    report.write(result, path)
    assert path.read_text() == page
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_said(result: ramet.Result, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"where one can be written, but .*nowhere"):
        report.write(result, tmp_path / "nowhere" / "report.html")


def test_only_results_have_reports() -> None:
    with pytest.raises(UsageError, match="must be of a Result"):
        report.page("runs.db")


@pytest.mark.slow
def test_a_run_in_a_temporary_file_is_in_none_that_can_be_found_again() -> None:
    text = Read(report.page(finished(descent_loop, workers=1, steps=8))).text
    assert "no file that stays" in text


@pytest.mark.slow
def test_names_in_letters_that_the_plots_font_lacks_are_no_reason_for_a_warning() -> None:
    space = ramet.Space({"学習率": ramet.LogUniform(1e-3, 1.0)})

    def train(session: ramet.Session) -> None:
        state = {"x": np.zeros(1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] += turn.hparams["学習率"]
            turn.report(state["x"][0])

    # Warnings are errors in tests.
    page = report.page(ramet.run(train, space, pbt(), steps=8, mode="max", seed=0))
    assert "学習率, log scale" in page

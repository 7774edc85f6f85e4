"""Reports of runs that lack something: they say what."""

from pathlib import Path

import pytest

import ramet
from ramet import report
from ramet.errors import RunFailed
from tests.engine.loops import SPACE, pbt
from tests.report.reading import Read
from tests.report.runs import Failing, Overflowing, finished, going_on


def text_of(result: ramet.Result) -> str:
    return Read(report.page(result)).text


def test_a_run_that_is_going_on_is_reported_as_it_is_now(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = going_on(store, turns=13)
    text = text_of(ramet.history.load(store))
    assert "going on, 36% of all steps are used" in text
    assert "13 turns ended" in text
    assert run.result().schedule().to_python() in text
    run.release_all()
    assert "not over, 36% of all steps are used, and no worker" in text_of(
        ramet.history.load(store)
    )


def test_a_run_before_its_first_turn_has_ended_has_no_answer_yet(tmp_path: Path) -> None:
    going_on(tmp_path / "runs.db", turns=0)
    text = text_of(ramet.history.load(tmp_path / "runs.db"))
    assert text.count("No turn has ended yet: there is no best, and no schedule.") == 2
    assert "No turn was trained with changed values." in text
    assert "No worker has ended a turn yet." in text
    assert "0 bytes on disk, 0 files" in text


def test_a_run_whose_scores_are_not_finite_has_none_either() -> None:
    text = text_of(finished(Overflowing(), steps=8))
    assert "12 turns ended, none of them with a finite score" in text


def test_a_run_that_was_stopped_says_how_it_goes_on(tmp_path: Path) -> None:
    run = going_on(tmp_path / "runs.db", turns=3)
    run.release_all()
    run.stop()
    assert "stopped, 8% of all steps are used; the call that began it" in text_of(run.result())


def test_failures_are_listed_in_order_with_their_tracebacks_folded() -> None:
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    strategy = pbt(population=8, initial=[{"lr": 0.005}])
    result = finished(
        Failing(),
        space=space,
        strategy=strategy,
        seed=1,
        engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0)),
    )
    page = report.page(result)
    text = Read(page).text
    failures = result.population.failures
    assert failures > 1
    assert f"{failures} failed attempts, " in text
    assert "Turn given up: it failed too often." in text
    assert page.count("<details>") >= 1
    assert "Traceback (most recent call last)" in text


def test_a_run_in_which_all_fail_says_so(tmp_path: Path) -> None:
    space = ramet.Space(lr=ramet.LogUniform(0.1, 1.0))
    store = tmp_path / "runs.db"
    with pytest.raises(RunFailed):
        finished(Failing(), space=space, strategy=pbt(population=8), store=store)
    text = text_of(ramet.history.load(store))
    assert "No turn has ended, and 3 attempts failed" in text
    assert "3 failed attempts" in text
    assert "The last failed attempt, of member 0 in turn 0: " in text


def test_the_answer_of_a_run_that_fails_begins_with_the_failure(tmp_path: Path) -> None:
    run = going_on(tmp_path / "runs.db", turns=13)
    before = text_of(run.result())
    turn = run.ask()
    assert turn is not None
    run.fail(turn, ValueError("the loss exploded"))
    text = text_of(run.result())
    said = f"of member {turn.member} in turn {turn.number}: ValueError: the loss exploded"
    assert "The last failed attempt" not in before
    assert text.index("The answer") < text.index(said) < text.index("best score")
    run.release_all()


def test_hyperparameters_that_no_loop_read_are_reported() -> None:
    space = ramet.Space({**SPACE, "momentum": ramet.Uniform(0.0, 1.0)})
    text = text_of(finished(space=space, strategy=pbt(population=5)))
    assert "1 unread hyperparameter." in text
    assert "A training loop did not read momentum in a whole turn." in text


def test_a_single_member_cannot_be_compared() -> None:
    alone = ramet.HandTuned(population=1, turn_steps=4, shapes={"lr": ramet.Drops()})
    space = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0), decay=ramet.Constant(0.0))
    text = text_of(finished(space=space, strategy=alone))
    assert "There is only one member, so its changes cannot be compared with others' turns." in text
    assert "Constant: decay." in text

"""`ramet begin`."""

import shlex
from pathlib import Path

import ramet as library
from tests.cli.shell import QUICK, figures, ramet


def begun(store: Path, *more: object) -> str:
    done = ramet("begin", QUICK, "--store", store, "--seed", 0, *more)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_that_was_begun_is_what_ramet_run_would_train(tmp_path: Path) -> None:
    store, other = tmp_path / "runs.db", tmp_path / "other.db"
    assert begun(store) == (
        f"Run 'quick' waits for workers: 5 members of 40 steps, 0 turns so far. Start any number "
        f"of them: ramet worker {store} quick {QUICK}\n"
    )
    assert (figures(store)["turns"], figures(store)["workers"]) == (0, 0)
    assert "is done" in ramet("worker", store, "quick", QUICK).output
    assert "is done" in ramet("run", QUICK, "--store", other, "--seed", 0).output
    ended, run = (library.history.load(each) for each in (store, other))
    assert library.events.canonical(ended.events) == library.events.canonical(run.events)
    # Workers can tell whether they have the code that it was begun with.
    assert ended.opening.code is not None


def test_the_command_for_workers_can_be_pasted(tmp_path: Path) -> None:
    store, script = tmp_path / "my runs.db", tmp_path / "pasted.py"
    script.write_text(QUICK.read_text().replace("space =", "wide =").replace("steps =", "_ ="))
    names = ["--store", store, "--space", "wide", "--steps", 40]
    done = ramet("begin", script, *names, "--", "--hidden", "a b")
    _, _, command = done.output.rpartition(": ramet ")
    assert shlex.split(command) == [
        *("worker", str(store), "pasted", str(script), "--space", "wide"),
        *("--", "--hidden", "a b"),
    ]
    assert "is done" in ramet(*shlex.split(command)).output


def test_a_run_that_was_stopped_or_is_done_goes_on_for_workers(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    begun(store)
    ramet("stop", store)
    assert "goes on with it" in ramet("worker", store, "quick", QUICK).output
    begun(store)
    assert "is done" in ramet("worker", store, "quick", QUICK).output
    assert begun(store) == "Run 'quick' is done; there is nothing to train.\n"
    assert "20 turns so far" in begun(store, "--steps", 80, "--extend")


def test_a_run_that_is_there_is_begun_with_its_own_settings_only(tmp_path: Path) -> None:
    begun(tmp_path / "runs.db")
    refused = ramet("begin", QUICK, "--store", tmp_path / "runs.db", "--steps", 80)
    assert refused.exit_code == 2
    assert "steps: 40 -> 80" in refused.stderr
    both = ramet("begin", QUICK, "--store", tmp_path / "runs.db", "--extend", "--overwrite")
    assert both.exit_code == 2

"""`ramet begin`."""

import shlex
from pathlib import Path

import pytest

import ramet as library
from tests.cli.shell import QUICK, figures, ramet
from tests.frameworks import package
from tests.postgres import server


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


def test_a_run_keeps_its_checkpoints_in_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store, script = tmp_path / "runs.db", QUICK.absolute()
    for folder in ("relative/kept", tmp_path / "absolute", (tmp_path / "url").as_uri()):
        run = "run", script, "--store", store, "--seed", 0, "--overwrite"
        assert "is done" in ramet(*run, "--blobs", folder).output
    kept = [list((tmp_path / each / "quick").iterdir()) for each in ("relative/kept", "absolute")]
    assert len(kept[0]) == len(kept[1]) > 0


def test_a_folder_that_workers_would_not_find_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    refused = ramet("begin", QUICK, "--store", store, "--blobs", tmp_path / "kept")
    assert refused.exit_code == 2
    assert "does not remember the folder" in refused.stderr
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
def test_workers_find_the_folder_that_a_database_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("psycopg")
    monkeypatch.chdir(tmp_path)
    script = QUICK.absolute()
    with server() as postgres:
        begun = ramet("begin", script, "--store", postgres.url, "--blobs", "kept", "--seed", 0)
        assert "waits for workers" in begun.output
        assert "is done" in ramet("worker", postgres.url, "quick", script).output
    assert list((tmp_path / "kept" / "quick").iterdir())

"""The store, and the name of the only run, may be left out; shells complete both."""

import os
import subprocess
from pathlib import Path

import pytest

import ramet as library
from ramet import history
from tests.cli import conftest, quick
from tests.cli.shell import EXECUTABLE, PATIENCE_S, QUICK, ramet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is worked in, with a run and its replay in the default store."""
    monkeypatch.chdir(tmp_path)
    conftest.begin(tmp_path / "runs.db", "quick")
    found = history.load(tmp_path / "runs.db").schedule()
    library.replay(quick.train, found, seeds=[0], store=tmp_path / "runs.db")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "quick"),
        ("status", "runs.db"),
        ("status", "runs.db", "quick"),
        ("status", "--watch", "quick"),
        ("lineage",),
        ("schedule", "--member", "0", "quick"),
        ("runs",),
        ("doctor", "quick-replay"),
        ("prune", "--dry-run"),
        ("plot", "scores"),
        ("plot", "quick", "scores", "-o", "scores.svg"),
        ("report", "quick"),
        ("worker", QUICK),
        ("worker", "quick", QUICK),
        ("worker", "runs.db", QUICK),
        ("worker", "runs.db", "quick", QUICK),
        ("replay", QUICK, "--seeds", "1"),
        ("backup", "copy.db"),
        ("rename", "quick", "other"),
        ("delete", "quick", "--yes"),
        ("status", "--", "runs.db"),
        ("status", "--", "runs.db", "quick"),
        ("rename", "--", "runs.db", "quick", "-x"),
        ("delete", "--yes", "--", "quick"),
    ],
)
def test_the_store_and_the_name_of_the_only_run_may_be_left_out(
    folder: Path, words: tuple[object, ...]
) -> None:
    done = ramet(*words)
    assert done.exit_code == 0, done.output


def test_arguments_behind_a_dash_are_the_scripts_own(folder: Path) -> None:
    done = ramet("worker", QUICK, "--", "--store", "x")
    assert done.exit_code == 0, done.output


def test_help_behind_a_dash_is_the_scripts_own(folder: Path) -> None:
    done = ramet("worker", QUICK, "--", "--help")
    assert done.exit_code == 0, done.output
    assert "Usage" not in done.output


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--", "-b"),
        ("status", "--", "runs.db", "-b"),
        ("status", "runs.db", "--", "-b"),
        ("plot", "-o", "scores.svg", "--", "runs.db", "-b", "scores"),
        ("replay", "--seeds", "1", "--", "runs.db", "-b", QUICK),
        ("rename", "--", "runs.db", "-b", "b"),
    ],
)
def test_names_that_begin_with_a_dash_stand_behind_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"mode": "max", "name": "-b", "store": tmp_path / "runs.db"}
    library.run(quick.train, quick.space, quick.strategy, steps=quick.steps, **settings)
    done = ramet(*words)
    assert done.exit_code == 0, done.output


def test_a_word_that_is_no_run_is_looked_for_in_the_default_store(folder: Path) -> None:
    assert "'nope' is not: runs.db has 'quick', 'quick-replay'" in ramet("status", "nope").stderr
    assert "nope.db does not exist" in ramet("status", "nope.db").stderr
    (folder / "damaged").write_text("no store")
    assert "damaged is neither: it is not an SQLite" in ramet("status", "damaged").stderr
    assert "Missing argument 'NAME'" in ramet("delete", "runs.db").stderr
    assert "Missing argument 'TARGET'" in ramet("worker").stderr


def test_without_a_default_store_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "runs.db does not exist" in ramet("status").stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ramet dele", {"delete"}),
        ("ramet status --wat", {"--watch"}),
        ("ramet status qu", {"quick", "quick-replay"}),
        ("ramet status ru", {"runs.db", "runs.db-checkpoints/"}),
        ("ramet status runs.db quick-", {"quick-replay"}),
        ("ramet status postgresql://nobody@nowhere.invalid/runs ", {""}),
        ("ramet plot quick ", {""}),
    ],
)
def test_a_shell_is_offered_what_a_word_may_become(
    folder: Path, typed: str, offered: set[str]
) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "runs-pipe")  # Nobody writes to it.
    words = typed.split(" ")
    asked = {"_RAMET_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    environment = {**os.environ, **asked, "COMP_CWORD": str(len(words) - 1)}
    said = subprocess.run(
        [str(EXECUTABLE)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert set(said.stdout.strip().split("\n")) == offered

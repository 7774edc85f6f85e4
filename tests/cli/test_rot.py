"""What commands say of a store that a disk or a copy damaged."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import begin
from tests.cli.shell import called, ramet

LOOKING = ("status", "runs", "schedule", "lineage", "export", "report", "plot", "doctor", "prune")
ASIDE = {"report": ("-o", "page.html"), "plot": ("scores", "-o", "plot.png")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a store with two runs."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("one", "other"):
        begin(folder / "runs.db", name)
    with closing(sqlite3.connect(folder / "runs.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def two(whole: Path, tmp_path: Path) -> Path:
    """Give a copy of that store."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs.db"


def damage(store: Path, statement: str) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(statement)
        connection.commit()


def look(store: Path, command: str) -> tuple[int, str]:
    """Return how a command ends that looks at a run, and all that it says."""
    name = () if command == "runs" else ("one",)
    aside = [store.with_name(it) if "." in it else it for it in ASIDE.get(command, ())]
    done = ramet(command, store, *name, *aside)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "change",
    [
        """event = CAST(replace(CAST(event AS TEXT), '"turn":0', '"turn":1') AS BLOB)""",
        "event = CAST(x'7bff7d' AS TEXT)",
        "event = x'7bff7d'",
        "event = 5000000000",
        "worker = CAST(x'ff' AS TEXT)",
        "at = CAST(x'ff' AS TEXT)",
        "took_s = CAST(x'ff' AS TEXT)",
        "took_s = NULL",
    ],
)
@pytest.mark.parametrize("command", LOOKING)
def test_a_damaged_event_is_named_by_each_command(two: Path, command: str, change: str) -> None:
    damage(two, f"UPDATE events SET {change} WHERE run = 1 AND number = 3")
    code, said = look(two, command)
    assert code == 1
    assert "event 3 of run 'one' does not: " in said


@pytest.mark.parametrize("command", LOOKING)
def test_a_run_name_that_is_no_text_is_said_by_each_command(two: Path, command: str) -> None:
    damage(two, "UPDATE runs SET name = CAST(x'6fff' AS TEXT) WHERE id = 1")
    code, said = look(two, command)
    assert code == 1
    assert "the name of run 'o\\udcff' does not: it is not text in UTF-8" in said


@pytest.mark.parametrize("change", ["score = 7", "trained = 1", "checkpoint = CAST(x'ff' AS TEXT)"])
def test_a_member_that_changed_is_named_by_status_and_doctor(two: Path, change: str) -> None:
    damage(two, f"UPDATE members SET {change} WHERE run = 1 AND member = 2")
    for command in ("status", "doctor"):
        code, said = look(two, command)
        assert code == 1
        assert "the row of member 2 of run 'one' does not: " in said


def test_the_doctor_names_the_run_beside_the_others(two: Path) -> None:
    damage(two, "UPDATE events SET at = 0 WHERE run = 2 AND number = 5")
    code, out, err = called("doctor", two, "--json")
    assert (code, err) == (1, "")
    (found,) = [msgspec.json.decode(line) for line in out.splitlines()]
    assert (found["run"], found["promise"]) == ("other", "I4")
    assert "event 5 of run 'other' does not" in found["what"]

"""`ramet report`."""

import sqlite3
import sys
from pathlib import Path

import pytest

import ramet as library
from tests.cli.shell import called, ramet
from tests.frameworks import framework

framework("matplotlib", "plots")


def test_a_report_is_written_where_it_is_told_to_be(done: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    written = ramet("report", done, "-o", path)
    assert written.exit_code == 0, written.output
    assert written.stdout == ""
    assert written.stderr.startswith(f"{path}: ")
    best = library.history.load(done).best.score
    assert f"{best:.6g}" in path.read_text()


def test_a_run_that_is_going_on_has_a_report(at_work: library.Run, tmp_path: Path) -> None:
    store, path = tmp_path / "runs.db", tmp_path / "report.html"
    early = ramet("report", store, "-o", path)
    assert early.exit_code == 0, early.output
    assert "No turn has ended yet" in path.read_text()
    turn = at_work.ask()
    assert turn is not None
    list(turn)
    at_work.tell(turn, 1.0, state={"x": 0})
    later = ramet("report", store, "-o", path)
    assert later.exit_code == 0, later.output
    assert "going on" in path.read_text()


def test_a_store_or_run_that_is_not_there_is_said(two: Path, tmp_path: Path) -> None:
    assert "does not exist" in ramet("report", tmp_path / "nowhere.db").stderr
    assert "must be named unless it is the only one" in ramet("report", two).stderr
    assert "'third' is not" in ramet("report", two, "third").stderr


def test_events_of_another_version_are_said_and_nothing_is_written(
    two: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(two) as connection:
        connection.execute(
            "UPDATE events SET event = replace(event, '\"v\":1', '\"v\":99'), checksum = NULL "
            "WHERE number = 3"
        )
        connection.execute("UPDATE runs SET checked_from = 4, checksum = NULL")
    path = tmp_path / "report.html"
    refused = ramet("report", two, "one", "-o", path)
    assert refused.exit_code == 1
    assert "events of schema 1 can be read, but this one is of schema 99" in refused.stderr
    assert not path.exists()


def test_a_folder_that_is_not_there_is_said(done: Path, tmp_path: Path) -> None:
    refused = ramet("report", done, "-o", tmp_path / "nowhere" / "report.html")
    assert refused.exit_code == 2
    assert "a file must be where one can be written" in refused.stderr


def test_without_matplotlib_it_says_how_to_get_it(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if nobody had drawn yet, and it were not installed.
    for name in [name for name in sys.modules if name.startswith(("ramet.report", "ramet.plots"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = ramet("report", done, "-o", tmp_path / "report.html")
    assert refused.exit_code == 2
    assert "pip install 'ramet[plots]'" in refused.stderr


def test_a_report_can_be_printed(done: Path, tmp_path: Path) -> None:
    code, out, err = called("report", done, "-o", "-", cwd=tmp_path)
    assert code == 0, err
    assert out.startswith("<!doctype html>")
    assert out.rstrip().endswith("</html>")
    assert err.startswith("/dev/stdout: ")
    assert not (tmp_path / "-").exists()


def test_a_report_and_its_figures_are_not_both_printed(done: Path, tmp_path: Path) -> None:
    code, out, err = called("report", done, "-o", "-", "--json", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "only one thing can be printed" in err


def test_a_report_leaves_a_link_and_the_mode_of_a_file(done: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.touch(mode=0o600)
    link.symlink_to(real)
    assert ramet("report", done, "-o", link).exit_code == 0
    assert link.is_symlink()
    assert real.read_text().startswith("<!doctype html>")
    assert real.stat().st_mode & 0o777 == 0o600

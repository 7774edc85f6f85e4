"""`ramet stop`, `ramet prune` and `ramet doctor`."""

import contextlib
import sqlite3
import sys
from pathlib import Path

import msgspec
import pytest

import ramet as library
from ramet.blobs import DirectoryBlobs
from tests.cli import quick
from tests.cli.shell import QUICK, called, ended, figures, ramet, started, trains, until


def _checkpoints(store: Path) -> dict[str, int]:
    folder = store.with_name(store.name + "-checkpoints")
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def test_stop_ends_the_workers_and_run_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = started("run", QUICK, "--store", store, "--workers", 2, "--steps", 200, pause_s=0.15)
    until(lambda: trains(store))
    code, out, err = called("stop", store)
    assert (code, err) == (0, "")
    assert out.startswith("Run 'quick' stops ")
    code, out, err = ended(run)
    assert (code, err) == (0, "")
    assert out.startswith("Run 'quick' is stopped: 5 members, ")
    stopped = figures(store)
    assert stopped["state"] == "stopped"
    assert 0 < stopped["turns"] < 100
    gone_on = ramet("run", QUICK, "--store", store, "--steps", 200)
    assert gone_on.output.startswith("Run 'quick' is done: 5 members, 100 turns, ")


def test_stopping_waits_for_who_is_at_work(at_work: library.Run, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    assert "once the turns of 1 worker are over" in ramet("stop", store).output
    assert figures(store)["state"] == "stopping"
    at_work.release_all()
    assert "stops now" in ramet("stop", store).output
    assert figures(store)["state"] == "stopped"
    assert sum(isinstance(event, library.events.Stopped) for event in at_work.result().events) == 1


def test_a_run_that_is_done_is_not_stopped(done: Path) -> None:
    assert ramet("stop", done).output == "Run 'quick' is done; there is nothing to stop.\n"
    assert figures(done)["state"] == "done"


def _left_behind(store: Path) -> int:
    """Leave a checkpoint that a killed run would have; return its size."""
    blobs = DirectoryBlobs(store.with_name(store.name + "-checkpoints"))
    run = library.open(
        store, space=quick.space, strategy=quick.strategy, steps=40, mode="max", name="one"
    )
    key = run.population[0].checkpoint
    assert key is not None
    data = blobs.get("one", key.key)
    blobs.put("one", "0-0-" + "0" * 32, [data])
    return len(data)


def test_pruning_frees_what_it_says_that_it_would(two: Path) -> None:
    before = _checkpoints(two)
    size = _left_behind(two)
    told = ramet("prune", two, "--dry-run").output.splitlines()
    assert told == [
        f"one: {size} bytes would be freed, 1 checkpoint file (keep='lineage')",
        "other: nothing to prune (keep='lineage')",
    ]
    assert len(_checkpoints(two)) == len(before) + 1
    code, out, err = called("prune", two, "one")
    assert (code, err) == (0, "")
    assert out == f"one: {size} bytes freed, 1 checkpoint file (keep='lineage')\n"
    assert _checkpoints(two) == before


def _settle(store: Path) -> None:
    """Have all that was written be in the file itself, which tests damage."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_doctor_finds_nothing_wrong_with_a_sound_store(two: Path) -> None:
    assert called("doctor", two) == (0, f"{two}: 2 runs, nothing wrong\n", "")
    assert ramet("doctor", two, "one").output == f"{two}: 1 run, nothing wrong\n"
    assert called("doctor", two, "--json") == (0, "", "")


def test_doctor_finds_checkpoints_that_are_damaged_and_missing(two: Path) -> None:
    folder = two.with_name(two.name + "-checkpoints")
    damaged, missing, *_ = sorted(path for path in folder.rglob("*") if path.is_file())
    damaged.write_bytes(damaged.read_bytes()[:-1])
    missing.unlink()
    code, out, err = called("doctor", two)
    assert (code, err) == (1, "")
    assert len(out.splitlines()) == 2
    told = [
        msgspec.json.decode(line) for line in ramet("doctor", two, "--json").stdout.split("\n")[:-1]
    ]
    assert sorted(finding["promise"] for finding in told) == ["I3", "I7"]
    assert all(list(finding) == ["run", "promise", "what"] for finding in told)


@pytest.mark.parametrize("spoilt", [range(4096), range(100, 4096), range(16)])
def test_doctor_finds_a_file_that_is_damaged_from_its_first_page_on(
    two: Path, spoilt: range
) -> None:
    _settle(two)
    data = bytearray(two.read_bytes())
    for place in spoilt:
        data[place] = 0x5A
    two.write_bytes(data)
    code, out, err = called("doctor", two)
    assert (code, err) == (1, "")
    assert out.endswith(" (file)\n")
    found = ramet("doctor", two, "--json")
    assert found.exit_code == 1
    assert [msgspec.json.decode(line)["promise"] for line in found.stdout.splitlines()] == ["file"]


def test_doctor_finds_pages_that_are_damaged_anywhere(two: Path) -> None:
    _settle(two)
    whole = two.read_bytes()
    assert len(whole) > 5 * 4096
    for page in range(4096, len(whole), 4096):
        two.write_bytes(whole[:page] + b"\x5a" * 4096 + whole[page + 4096 :])
        found = ramet("doctor", two)
        assert found.exit_code == 1, page
        assert found.stderr == "", page
        assert isinstance(found.exception, SystemExit), page


def test_doctor_takes_a_file_that_is_something_else_for_damaged(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("hello")
    found = ramet("doctor", tmp_path / "runs.db")
    assert found.exit_code == 1
    assert "not an SQLite database" in found.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_doctor_tells_of_files_whose_names_are_no_text(two: Path) -> None:
    folder = two.parent / "half \udcff"
    folder.mkdir()
    for path in (two, two.with_name(two.name + "-checkpoints")):
        path.rename(folder / path.name)
    for kept in folder.rglob("*.safetensors"):
        kept.write_bytes(kept.read_bytes() + b"more")
    code, out, err = called("doctor", folder / two.name)
    assert code == 1, err
    assert r"half \udcff" in out
    code, out, err = called("doctor", folder / two.name, "--json")
    assert code == 1, err
    assert r"half \udcff" in msgspec.json.decode(out.splitlines()[0])["what"]

"""`ramet backup`, and what commands that look leave as it is."""

import errno
import os
from pathlib import Path

import pytest

import ramet as library
from ramet.blobs import DirectoryBlobs
from ramet.blobs.collecting import Collecting
from ramet.errors import StoreError, UsageError
from tests.cli import quick
from tests.cli.shell import QUICK, called, ended, ramet, started, trains, until

LOOKING = {
    "status": [],
    "runs": [],
    "schedule": [],
    "lineage": [],
    "export": ["--table", "turns"],
    "doctor": [],
    "prune": ["--dry-run"],
}
CHANGING = {"stop": [], "worker": ["quick", QUICK], "backup": ["copy.db"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def on_other_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no file be linked, as between two file systems."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


def test_a_backup_is_the_same_run(two: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept" / "copy.db"
    code, out, err = called("backup", two, target)
    assert (code, err) == (0, "")
    assert out.startswith(f"{target}: 2 runs, ")
    assert called("doctor", target) == (0, f"{target}: 2 runs, nothing wrong\n", "")
    for run in ("one", "other"):
        original, copy = (library.history.load(store, run) for store in (two, target))
        assert copy.log == original.log
        assert copy.best.load()["x"] == original.best.load()["x"]
    kept = sorted(path.name for path in target.parent.iterdir())
    assert kept == ["copy.db", "copy.db-checkpoints"]


@pytest.mark.usefixtures("on_other_disks")
def test_a_backup_on_another_disk_is_the_same_run(done: Path, tmp_path: Path) -> None:
    made = library.history.backup(done, tmp_path / "copy.db")
    assert (made.runs, made.files > 0) == (1, True)
    assert ramet("doctor", tmp_path / "copy.db").exit_code == 0
    files = [path for path in (tmp_path / "copy.db-checkpoints").rglob("*") if path.is_file()]
    assert {path.stat().st_nlink for path in files} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_backups_are_whole_while_a_run_writes_and_prunes(tmp_path: Path, workers: int) -> None:
    store, copies = tmp_path / "runs.db", [tmp_path / f"{number}.db" for number in range(8)]
    run = started("run", QUICK, "--store", store, "--workers", workers, "--steps", 1_000_000)
    until(lambda: trains(store))
    for copy in copies:
        library.history.backup(store, copy)
    run.terminate()
    ended(run)
    log = library.history.load(store).log
    turns = []
    for copy in copies:
        assert ramet("doctor", copy).output == f"{copy}: 1 run, nothing wrong\n"
        copied = library.history.load(copy)
        assert copied.log == log[: len(copied.log)]
        turns.append(copied.population.turns)
    assert turns == sorted(turns)
    assert turns[-1] > turns[0]


def test_a_backup_of_a_run_at_work_is_gone_on_with_at_once(
    at_work: library.Run, tmp_path: Path
) -> None:
    library.history.backup(tmp_path / "runs.db", tmp_path / "copy.db")
    gone_on = ramet("run", QUICK, "--store", tmp_path / "copy.db")
    assert gone_on.output.startswith("Run 'quick' is done: 5 members, ")
    assert not at_work.over


@pytest.mark.parametrize("there", ["copy.db", "copy.db-checkpoints", "copy.db-wal"])
def test_a_backup_overwrites_nothing(done: Path, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    code, _, err = called("backup", done, tmp_path / "copy.db")
    assert code == 2
    assert f"{tmp_path / there} does. It was left as it is" in err
    assert contents(tmp_path) == {there: b"precious"}


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine(*_: object) -> list[object]:
        (tmp_path / "copy.db").write_text("precious")
        return []

    monkeypatch.setattr("ramet.history.copying.examine", examine)
    with pytest.raises(StoreError, match="File exists"):
        library.history.backup(done, tmp_path / "copy.db")
    assert contents(tmp_path) == {"copy.db": b"precious"}


def test_a_store_that_is_not_whole_is_not_backed_up(two: Path) -> None:
    folder = two.with_name(two.name + "-checkpoints")
    _, missing, *_ = sorted(path for path in folder.rglob("*") if path.is_file())
    missing.unlink()
    before = contents(two.parent)
    code, _, err = called("backup", two, two.with_name("copy.db"))
    assert code == 1
    assert "a backup must be of a store that is whole" in err
    assert missing.name.removesuffix(".safetensors") in err
    assert contents(two.parent) == before


def test_a_backup_that_is_interrupted_leaves_nothing(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ramet.history.copying.examine", interrupt)
    with pytest.raises(KeyboardInterrupt):
        library.history.backup(done, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_keeps_all_has_all_backed_up(tmp_path: Path) -> None:
    library.run(
        quick.train,
        quick.space,
        quick.strategy,
        steps=quick.steps,
        mode="max",
        store=library.Storage(tmp_path / "runs.db", keep="all"),
    )
    made = library.history.backup(tmp_path / "runs.db", tmp_path / "copy.db")
    assert made.files == 20


def test_checkpoints_may_be_elsewhere(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "scratch")
    store = library.Storage(tmp_path / "runs.db", blobs=blobs)
    settings = {"steps": quick.steps, "mode": "max", "store": store}
    library.run(quick.train, quick.space, quick.strategy, **settings)
    library.history.backup(tmp_path / "runs.db", tmp_path / "copy.db", blobs=blobs)
    assert ramet("doctor", tmp_path / "copy.db").exit_code == 0


@pytest.mark.parametrize("disk", ["one disk", "two disks"])
def test_what_is_held_may_be_deleted(
    tmp_path: Path, request: pytest.FixtureRequest, disk: str
) -> None:
    if disk == "two disks":
        request.getfixturevalue("on_other_disks")
    source, target = DirectoryBlobs(tmp_path / "source"), DirectoryBlobs(tmp_path / "target")
    data = b"weights" * 100
    key = f"0-0-{library.digest.digest([data])}"
    source.put("lm", key, [data])
    with Collecting(source, target) as collecting:
        collecting.hold("lm")
        source.delete("lm", [key])
        assert collecting.keep("lm", [key]) == set()
    assert bytes(target.get("lm", key)) == data


def test_what_is_no_file_is_missing_from_a_copy_on_another_disk(
    tmp_path: Path, on_other_disks: object
) -> None:
    check_that_a_fifo_is_missing(tmp_path)


def test_what_is_no_file_is_missing_from_a_copy_on_the_same_disk(tmp_path: Path) -> None:
    check_that_a_fifo_is_missing(tmp_path)


def check_that_a_fifo_is_missing(tmp_path: Path) -> None:
    source, target = DirectoryBlobs(tmp_path / "source"), DirectoryBlobs(tmp_path / "target")
    key = f"0-0-{library.digest.digest([b'weights'])}"
    source.put("lm", key, [b"weights"])
    source.path_of("lm", key).unlink()
    os.mkfifo(source.path_of("lm", key))
    with Collecting(source, target) as collecting:
        collecting.hold("lm")
        assert collecting.keep("lm", [key]) == {key}


@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_an_empty_file_stays_empty(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.db").touch()
    more = {**LOOKING, **CHANGING}[command]
    done = ramet(command, "runs.db", *more)
    assert done.exit_code == 1
    assert "is empty: no run was begun in it yet" in done.output
    assert contents(tmp_path) == {"runs.db": b""}


@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_a_missing_file_is_not_made(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ramet(command, "runs.db", *{**LOOKING, **CHANGING}[command])
    assert done.exit_code == 1
    assert "runs.db does not exist" in done.output
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("command", LOOKING)
def test_looking_changes_no_file(done: Path, command: str) -> None:
    before = contents(done.parent)
    assert ramet(command, done, *LOOKING[command]).exit_code == 0
    assert contents(done.parent) == before


def test_the_folder_of_a_backup_must_be_one(done: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((StoreError, UsageError), match=r"file"):
        library.history.backup(done, tmp_path / "file" / "copy.db")

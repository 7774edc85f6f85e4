"""`ramet delete` and `ramet rename`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import ramet as library
from ramet import history
from ramet.blobs import DirectoryBlobs
from ramet.history.replayed import find_replays
from tests.cli import quick
from tests.cli.conftest import begin
from tests.cli.shell import called, ramet


def kept(store: Path, run: str) -> dict[str, int]:
    return DirectoryBlobs(f"{store}-checkpoints").sizes(run)


def test_a_run_is_deleted_with_its_checkpoints_and_the_other_stays(two: Path) -> None:
    size, other = kept(two, "one"), kept(two, "other")
    done = ramet("delete", two, "one", "--yes", "--json")
    told = {"run": "one", "files": len(size), "bytes": sum(size.values())}
    assert (done.exit_code, msgspec.json.decode(done.stdout)) == (0, told)
    assert (kept(two, "one"), kept(two, "other")) == ({}, other)
    assert "1 run, nothing wrong" in ramet("doctor", two).stdout


def test_without_a_terminal_nothing_is_deleted_unless_the_user_says_yes_beforehand(
    two: Path,
) -> None:
    code, out, err = called("delete", two, "one")
    assert (code, out) == (2, "")
    assert "nothing was deleted: add --yes" in err
    assert history.load(two, "one").best.load()


@pytest.mark.parametrize(("answer", "left"), [("y", ["other"]), ("", ["one", "other"])])
def test_it_asks_on_a_terminal(
    two: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    monkeypatch.setattr("ramet.cli.screen.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: answer)
    done = ramet("delete", two, "one")
    assert "Delete run 'one' (20 turns, best " in done.stderr
    assert done.exit_code == (0 if answer else 2)
    assert list(history.load(two, left[-1]).store.runs()) == left


@pytest.mark.parametrize("anew", [True, False])
def test_a_run_that_changed_while_the_user_was_asked_is_not_deleted(
    two: Path, monkeypatch: pytest.MonkeyPatch, *, anew: bool
) -> None:
    def answer() -> str:
        library.run(
            quick.train,
            quick.space,
            quick.strategy,
            steps=quick.steps if anew else 2 * quick.steps,
            mode="max",
            store=two,
            name="one",
            existing="overwrite" if anew else "extend",
        )
        return "y"

    monkeypatch.setattr("ramet.cli.screen.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    done = ramet("delete", two, "one")
    assert done.exit_code == 2
    assert "run 'one' has changed since; nothing was deleted" in done.stderr
    assert history.load(two, "one").best.load()


def test_the_end_of_the_input_is_no(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> str:
        raise EOFError

    monkeypatch.setattr("ramet.cli.screen.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", end)
    done = ramet("delete", two, "one")
    assert (done.exit_code, "nothing was deleted" in done.stderr) == (2, True)
    assert history.load(two, "one").best.load()


def test_a_run_with_a_damaged_log_can_be_deleted(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(two, isolation_level=None)) as connection:
        connection.execute("DELETE FROM summaries")
        connection.execute(
            "UPDATE events SET event = x'00' WHERE number = 3 AND run = "
            "(SELECT id FROM runs WHERE name = 'one')"
        )
    assert ramet("status", two, "one").exit_code == 1
    monkeypatch.setattr("ramet.cli.screen.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "y")
    done = ramet("delete", two, "one")
    assert "Delete run 'one' (its log cannot be read, " in done.stderr
    assert f"Run 'one' is deleted from {two}: " in done.stdout
    assert "1 run, nothing wrong" in ramet("doctor", two).stdout


def test_a_run_is_not_shown_the_replays_of_one_that_had_its_name(two: Path) -> None:
    found = history.load(two, "one").schedule()
    library.replay(quick.train, found, seeds=[0], store=two)
    assert find_replays(history.load(two, "one").store, "one") == ["one-replay"]
    ramet("delete", two, "one", "--yes")
    begin(two, "one")
    assert find_replays(history.load(two, "one").store, "one") == []


def test_a_run_whose_checkpoints_are_elsewhere_keeps_its_name_and_they_are_not_forgotten(
    tmp_path: Path,
) -> None:
    elsewhere = DirectoryBlobs(tmp_path / "elsewhere")
    storage = library.Storage(tmp_path / "runs.db", blobs=elsewhere)
    result = library.run(
        quick.train, quick.space, quick.strategy, steps=40, mode="max", store=storage, name="one"
    )
    refused = ramet("rename", tmp_path / "runs.db", "one", "new")
    assert refused.exit_code == 1
    assert "renamed together with its checkpoints, but none of run 'one' is in" in refused.stderr
    assert result.best.load()
    deleted = ramet("delete", tmp_path / "runs.db", "one", "--yes")
    assert "if they are kept elsewhere (blobs=), delete them there" in deleted.stderr
    assert elsewhere.sizes("one")


def test_a_run_at_work_is_deleted_and_renamed_only_by_force(
    at_work: library.Run, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    for words in (("delete", store, "quick", "--yes"), ("rename", store, "quick", "new")):
        refused = ramet(*words)
        assert refused.exit_code == 1
        assert "4711-0.1 hold members of run 'quick'; nothing was changed" in refused.stderr
    renamed = ramet("rename", store, "quick", "new", "--force")
    assert renamed.stdout.startswith("Run 'quick' is called 'new' now: ")
    assert history.load(store, "new").seed == 0
    # Its worker's run is no more, so what the fixture releases is not there.
    at_work.release_all = lambda: None


def test_replays_follow_the_run_that_they_repeat(two: Path) -> None:
    found = history.load(two, "one").schedule()
    library.replay(quick.train, found, seeds=[0], store=two)
    renamed = ramet("rename", two, "one", "new")
    assert renamed.stdout.endswith(
        "checkpoint files\n'one-replay' keeps its name, and is a replay of 'new' now\n"
    )
    assert find_replays(history.load(two, "new").store, "new") == ["one-replay"]
    assert ramet("doctor", two).exit_code == 0
    # A schedule that was read before the run had its new name goes on with the same replay.
    again = library.replay(quick.train, found, seeds=[0], store=two, name="one-replay")
    assert again.done


def test_a_run_whose_only_company_are_its_replays_need_not_be_named(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = library.run(
        quick.train, quick.space, quick.strategy, steps=40, mode="max", store=store, name="one"
    )
    for name in (None, "again"):
        library.replay(quick.train, result.schedule(), seeds=[0], store=store, name=name)
    assert "one: done" in ramet("status", store).stdout
    assert history.load(store).opening.name == "one"
    library.replay(quick.train, result.schedule(), seeds=[0], store=tmp_path / "other.db")
    # A replay whose original is elsewhere is the only run there.
    assert history.load(tmp_path / "other.db").opening.name == "one-replay"

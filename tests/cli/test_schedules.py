"""`ramet schedule`, `ramet replay`, `ramet lineage` and `ramet export`."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import ramet as library
from ramet.schedule import Piece, Schedule
from ramet.store import SQLiteStore
from tests.cli import quick
from tests.cli.shell import EXECUTABLE, PATIENCE_S, QUICK, called, ramet


@pytest.fixture
def result(done: Path) -> library.Result:
    return library.history.load(done)


def test_a_schedule_is_printed_as_a_table_code_or_json(done: Path, result: library.Result) -> None:
    schedule = result.schedule()
    columns, *rows = ramet("schedule", done).stdout.splitlines()
    assert columns.split() == ["steps", "lr"]
    assert [row.split()[0] for row in rows] == [str(piece.start) for piece in schedule.pieces]
    names: dict[str, Any] = {}
    exec(ramet("schedule", done, "--python").stdout, names)  # noqa: S102 - what a user does with it
    assert [names["schedule"](step) for step in range(40)] == [schedule(step) for step in range(40)]
    pieces = [json.loads(line) for line in ramet("schedule", done, "--json").stdout.splitlines()]
    assert [(piece["start"], piece["hparams"]) for piece in pieces] == list(schedule)


def test_a_schedule_is_saved_smoothed_and_stretched(done: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    shown = ramet("schedule", done, "--pieces", 1, "--stretch", 90, "-o", path)
    assert "lr is off by at most " in shown.stdout
    assert f"saved in {path}" in shown.stderr
    saved = library.Schedule.load(path)
    assert (saved.steps, len(saved)) == (90, 1)


def test_a_schedule_as_it_is_saved_can_be_printed(done: Path, tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    assert ramet("schedule", done, "--pieces", "2", "-o", path).exit_code == 0
    code, out, err = called("schedule", done, "--pieces", "2", "-o", "-", cwd=tmp_path)
    assert code == 0, err
    assert out == path.read_text()
    assert "off by at most" in err
    both = ramet("schedule", done, "-o", "-", "--python")
    assert both.exit_code == 2
    assert "one form of a schedule can be printed, but got -o - with --python" in both.stderr


def test_a_schedule_may_be_another_members(done: Path, result: library.Result) -> None:
    printed = ramet("schedule", done, "--member", 3, "--json").stdout.splitlines()
    assert len(printed) == len(result.schedule(3))
    assert ramet("schedule", done, "--member", 9).exit_code == 2


def test_a_schedule_is_replayed_with_fresh_networks(done: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    store.write_bytes(done.read_bytes())
    code, out, err = called("replay", store, "quick", QUICK, "--seeds", 3)
    assert (code, err) == (0, "")
    # Nothing in this training is left to chance.
    best = library.history.load(done).best.score
    assert out == f"replayed: {best:.6g} ± 0 (mean ± sd, 3 seeds), the original {best:.6g}\n"
    assert SQLiteStore(store).runs() == ["quick", "quick-replay"]


def test_a_schedule_is_replayed_exactly_or_as_constants_or_from_a_file(
    done: Path, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    store.write_bytes(done.read_bytes())
    best = library.history.load(done).best.score
    assert f"{best:.6g} (1 seed)" in ramet("replay", store, "quick", QUICK, "--exact").stdout
    ramet("replay", store, "quick", QUICK, "--last-values", "--seeds", 2)
    ramet("schedule", store, "quick", "-o", tmp_path / "s.json")
    again = ramet(
        *("replay", store, "quick", QUICK, "--schedule", tmp_path / "s.json"),
        *("--as", "mine", "--stretch", 20, "--workers", 1),
    )
    assert again.exit_code == 0
    names = ["quick", "quick-replay-exact", "quick-replay-last-values", "mine"]
    assert SQLiteStore(store).runs() == names


def test_lineage_shows_who_trained_what_and_whose_weights_survive(
    done: Path, result: library.Result
) -> None:
    shown = ramet("lineage", done).stdout
    assert shown.startswith("quick: 5 members. First weights that survive, ")
    assert "The history of the weights with the best score:" in shown
    assert "hyperparameter  changes  paid off" in shown
    turns = [json.loads(line) for line in ramet("lineage", done, "--json").stdout.splitlines()]
    behind = result.lineage().behind(result.best.checkpoint)
    assert [(turn["member"], turn["turn"]) for turn in turns] == [turn.key for turn in behind]
    assert turns[-1]["score"] == result.best.score
    other = ramet("lineage", done, "--member", 0).stdout
    assert "The history of the weights of member 0:" in other


def test_lineage_without_a_finite_score_has_no_best_to_trace_back(tmp_path: Path) -> None:
    def train(session: library.Session) -> None:
        for turn in session.turns({"x": np.zeros(1)}):
            for _ in turn:
                turn.hparams["lr"]
            turn.report(float("nan"))

    store = tmp_path / "runs.db"
    library.run(train, quick.space, quick.strategy, steps=20, mode="max", store=store, seed=0)
    shown = ramet("lineage", store)
    assert shown.exit_code == 0
    assert "No score was finite, so there is no best." in shown.stdout
    assert "weights of member 1:" in ramet("lineage", store, "--member", 1).stdout


def test_a_table_is_printed_or_written(done: Path, tmp_path: Path, result: library.Result) -> None:
    printed = list(csv.DictReader(ramet("export", done).stdout.splitlines()))
    assert len(printed) == result.population.turns
    path = tmp_path / "members.parquet"
    written = ramet(
        *("export", done, "--table", "members", "--format", "parquet", "--output", path)
    )
    assert written.stderr == f"{path}: 5 rows of members\n"
    assert pl.read_parquet(path)["member"].to_list() == list(range(5))
    assert "written to a file" in ramet("export", done, "--format", "parquet").stderr


def test_a_table_can_be_written_to_a_stream(done: Path, tmp_path: Path) -> None:
    printed = ramet("export", done, "--format", "parquet", "-o", tmp_path / "turns.parquet")
    assert printed.exit_code == 0
    csv_printed = ramet("export", done).stdout
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        code, out, err = called("export", done, "-o", name, cwd=tmp_path)
        assert code == 0, err
        assert out == csv_printed
    assert [path.name for path in tmp_path.glob("*") if path.suffix != ".db"] == ["turns.parquet"]


@pytest.mark.parametrize(
    "arguments", [["export"], ["schedule", "-o", "-"], ["export", "-o", "/dev/fd/1"]]
)
def test_a_reader_that_has_enough_is_no_error(done: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command, *more = arguments
    ended = subprocess.run(
        [EXECUTABLE, command, done, *more],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("command", ["schedule", "lineage", "export"])
def test_a_run_that_is_going_on_can_be_looked_at(
    command: str, at_work: library.Run, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    early = ramet(command, store)
    if command == "export":
        assert early.stdout.startswith("member,group,turn,")
    else:
        assert early.exit_code == 1
        assert "the best needs a turn that ended with a finite score" in early.stderr
    turn = at_work.ask()
    assert turn is not None
    list(turn)
    at_work.tell(turn, 1.0, state={"x": 0})
    assert ramet(command, store).exit_code == 0


@pytest.mark.parametrize("command", ["schedule", "lineage", "export"])
def test_a_store_or_run_that_is_not_there_is_said(command: str, two: Path, tmp_path: Path) -> None:
    assert "does not exist" in ramet(command, tmp_path / "nowhere.db").stderr
    assert "must be named unless it is the only one" in ramet(command, two).stderr
    assert "'third' is not" in ramet(command, two, "third").stderr


def test_a_task_that_lacks_a_hyperparameter_is_said(done: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    store.write_bytes(done.read_bytes())
    script = tmp_path / "other.py"
    script.write_text(QUICK.read_text().replace('turn.hparams["lr"]', 'turn.hparams["momentum"]'))
    refused = ramet("replay", store, "quick", script)
    assert refused.exit_code == 2
    assert "which has ['lr'], but 'momentum' was" in refused.stderr
    assert quick.steps == 40


def test_a_value_of_0_that_pieces_do_not_have_is_not_off_by_a_percentage(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    space = library.Space(lr=library.Uniform(0.0, 1.0))
    values = [{"lr": 0.0}, {"lr": 0.5}, {"lr": 1.0}, {"lr": 0.2}]
    pieces = [
        Piece(start=10 * nth, stop=10 * nth + 10, hparams=its) for nth, its in enumerate(values)
    ]
    found = Schedule(pieces, space.describe())
    library.replay(_count_steps, found, seeds=[0], mode="max", store=store)
    said = ramet("schedule", store, "--pieces", "1").stdout
    assert "lr is not 0 at some steps where it was 0" in said
    assert "inf" not in said


def _count_steps(session: library.Session) -> None:
    state = {"x": np.zeros(1)}
    for turn in session.turns(state):
        for _ in turn:
            state["x"] += 1.0 + turn.hparams["lr"]
        turn.report(state["x"][0])

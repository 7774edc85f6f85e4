"""Runs as tables."""

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.errors import UsageError
from ramet.history.exporting import Format, export
from ramet.history.frames import Table, columns
from tests.engine.loops import SPACE, Descent, pbt


@pytest.fixture(scope="module", params=["max", "min"])
def result(request: pytest.FixtureRequest) -> ramet.Result:
    strategy = pbt(synchronous=True, evaluate_every=2)
    return ramet.run(Descent(), SPACE, strategy, steps=24, seed=0, mode=request.param)


TABLES: list[Table] = ["turns", "copies", "members", "scores"]


@pytest.mark.parametrize("table", TABLES)
def test_rows_have_the_columns_of_their_table(table: Table, result: ramet.Result) -> None:
    rows = result.rows(table)
    assert rows
    assert all(list(row) == columns(table, result.opening) for row in rows)


def test_there_is_a_row_for_each_turn_copy_member_and_score(result: ramet.Result) -> None:
    counts = {table: len(result.rows(table)) for table in TABLES}
    population = result.population
    assert counts == {
        "turns": population.turns,
        "copies": population.copies,
        "members": len(population),
        "scores": 2 * population.turns,
    }


def test_scores_are_as_they_were_reported(result: ramet.Result) -> None:
    best = max if result.opening.mode == "max" else min
    assert best(row["score"] for row in result.rows("turns")) == result.best.score
    assert all(row["score"] < 0 for row in result.rows("scores"))
    assert all(row["score"] < 0 for row in result.rows("members"))


def test_a_turn_says_what_it_was_trained_with_and_went_on_from(result: ramet.Result) -> None:
    turns = {(row["member"], row["turn"]): row for row in result.rows("turns")}
    schedule = result.schedule()
    assert schedule.source is not None
    before: tuple[Any, Any] = (None, None)
    for leg in schedule.source.legs:
        row = turns[leg.member, leg.turn]
        assert (row["start"], row["stop"]) == (leg.start, leg.stop)
        assert row["hparams.lr"] == schedule(leg.start)["lr"]
        assert (row["from_member"], row["from_turn"]) == before
        assert row["took_s"] >= 0
        before = leg.member, leg.turn


@pytest.mark.parametrize("table", TABLES)
def test_data_frames_have_the_same_values(table: Table, result: ramet.Result) -> None:
    rows = result.rows(table)
    polars = result.to_polars(table)
    assert polars.columns == columns(table, result.opening)
    assert polars.to_dicts() == rows
    pandas = result.to_pandas(table)
    assert list(pandas.columns) == columns(table, result.opening)
    assert pandas["member"].tolist() == [row["member"] for row in rows]


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_files_have_the_same_values(format_: Format, result: ramet.Result) -> None:
    rows, names = result.rows("turns"), columns("turns", result.opening)
    written = io.BytesIO()
    export(rows, names, written, format_)
    written.seek(0)
    if format_ == "csv":
        read = list(csv.DictReader(io.TextIOWrapper(written, encoding="utf-8")))
        assert [float(row["hparams.lr"]) for row in read] == [row["hparams.lr"] for row in rows]
        assert [row["worker"] for row in read] == [row["worker"] for row in rows]
    elif format_ == "jsonl":
        assert [json.loads(line) for line in written] == rows
    else:
        import polars as pl  # noqa: PLC0415 - only here

        assert pl.read_parquet(written).to_dicts() == rows


def test_tables_without_a_row_have_their_columns() -> None:
    run = ramet.open(space=SPACE, strategy=pbt(), steps=8, mode="max", seed=0)
    result = run.result()
    for table in ("turns", "copies", "scores", "metrics", "confirmations"):
        assert result.rows(table) == []
        assert result.to_polars(table).columns == columns(table, result.opening)
        assert list(result.to_pandas(table).columns) == columns(table, result.opening)


def test_a_choice_of_several_kinds_is_text_in_a_data_frame() -> None:
    space = ramet.Space(lr=ramet.Choice([None, 1, "auto"]), decay=ramet.Constant(0.1))
    run = ramet.open(space=space, strategy=pbt(population=12), steps=8, mode="max", seed=0)
    rows = run.result().rows("members")
    assert {row["hparams.lr"] for row in rows} == {None, 1, "auto"}
    polars = run.result().to_polars("members")
    assert set(polars["hparams.lr"]) == {None, "1", "auto"}


@pytest.fixture(scope="module")
def measured() -> ramet.Result:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": np.zeros(1)}):
            for step in turn:
                turn.log(loss=step if step % 2 else math.nan)
            turn.report(turn.hparams["lr"] + turn.hparams["decay"], worst=-math.inf)

    return ramet.run(train, SPACE, pbt(), steps=8, seed=0, mode="min")


def test_there_is_a_row_for_each_point_of_a_metric(measured: ramet.Result) -> None:
    rows = measured.rows("metrics")
    assert len(rows) == 2 * 6 * (4 + 1)
    of_turn = [row for row in rows if (row["member"], row["turn"]) == (2, 1)]
    start = of_turn[0]["step"] - 1
    assert [(row["name"], row["step"]) for row in of_turn] == [
        *(("loss", start + step) for step in (1, 2, 3, 4)),
        ("worst", start + 4),
    ]
    values = [row["value"] for row in of_turn]
    assert values[1::2] == [start + 1, start + 3]
    assert math.isnan(values[0])
    assert values[-1] == -math.inf
    assert all(list(row) == columns("metrics", measured.opening) for row in rows)


def test_metrics_are_data_frames_and_files(measured: ramet.Result) -> None:
    rows, names = measured.rows("metrics"), columns("metrics", measured.opening)
    for table in (measured.to_pandas("metrics"), measured.to_polars("metrics")):
        assert list(table.columns) == names
        np.testing.assert_equal(table["value"].to_numpy(), [row["value"] for row in rows])
    written = io.BytesIO()
    export(rows, names, written, "csv")
    assert written.getvalue().splitlines()[1] == b"0,0,1,loss,nan"
    written = io.BytesIO()
    export(rows, names, written, "jsonl")
    assert json.loads(written.getvalue().splitlines()[0])["value"] is None


def test_what_is_no_table_or_format_is_refused(result: ramet.Result) -> None:
    with pytest.raises(UsageError, match="a table must be one of"):
        result.rows("events")
    with pytest.raises(UsageError, match="a file's format must be one of"):
        export([], [], io.BytesIO(), "xml")

"""Stores: sound ones that were changed, under all that looks at a run."""

import contextlib
import functools
import io
import json
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, get_args
from unittest.mock import patch

import numpy as np

import ramet
from benchmarks.fuzz.checkpoints import _change
from benchmarks.fuzz.forging import forge
from ramet import history
from ramet.cli.view import View
from ramet.engine.run.checkpoints import Checkpoints
from ramet.errors import RametError
from ramet.history.ancestry import describe_survivors, payoffs
from ramet.history.doctor import examine
from ramet.history.exporting import Format, export
from ramet.history.fire import evaluations
from ramet.history.following import Follower
from ramet.history.frames import Table, columns
from ramet.places import existing
from ramet.report.page import page
from ramet.store import summary

# The number of a row, and the place of an event in it.
Place: TypeAlias = tuple[int, int]

FILE = "runs.db"
TEXTS = ["", "x", "\x1b]0;pwned\x07", "../../x", "=1+1", "\u202e", "a\0b", "lr", "x" * 100_000]
VALUES = [None, -1, 0, 1, 2**31, 2**62, -(2**63), 1.5, 1e300, float("inf"), b"\xff\x00", *TEXTS]
KEYS = ["member", "turn", "step", "trained", "points", "hparams", "births", "space", "weights"]
# Events between two summaries of a store, which has few.
FEW = 20
# The share of changes that are given the right checksums.
FORGED = 0.8
# A page takes a hundred times as long as all else together.
PAGES = 0.02


def trial(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Return all looks at a store that was changed."""
    shutil.copytree(rng.choice(_whole()), folder, dirs_exist_ok=True)
    store = folder / FILE
    for _ in range(rng.choice([1, 1, 2, 5])):
        rng.choice(CHANGES)(rng, store)
    if rng.random() < FORGED:
        _write(store, forge)
    draws_page = rng.random() < PAGES
    return lambda: _look(store, draws_page=draws_page)


def _look(store: Path, *, draws_page: bool) -> None:
    """Look at a store in each way; an error of ours in one does not spare the others."""
    with contextlib.suppress(RametError):
        where = existing(store)
        for name in where.store.runs():
            for look in _looks(store, name, draws_page=draws_page):
                with contextlib.suppress(RametError):
                    look()


def _looks(store: Path, name: str, *, draws_page: bool) -> Iterator[Callable[[], object]]:
    where = existing(store)
    yield lambda: [str(finding) for finding in examine(where.store, where.blobs, name)]
    yield lambda: _status(View(where.store, name))
    yield lambda: Checkpoints(where.blobs, name).prune(
        (view := Follower(where.store, name)).population, view.opening.keep, dry_run=True
    )
    with contextlib.suppress(RametError):
        result = history.load(store, name)
        yield lambda: [str(it) for it in (result, result.members, result.lineage().copies)]
        yield lambda: (result.best.load(), result.final.load())
        yield lambda: describe_survivors(result.lineage())
        yield lambda: payoffs(result.lineage().effects(), result.opening.space["names"])
        yield lambda: list(evaluations(result.events))
        yield lambda: (result.schedule().to_python(), str(result.schedule().smooth(2)))
        for table in get_args(Table):
            yield functools.partial(_export, result, table)
        if draws_page:
            yield lambda: page(result)


def _export(result: ramet.Result, table: Table) -> None:
    for kind in get_args(Format):
        if kind != "parquet":
            export(result.rows(table), columns(table, result.opening), io.BytesIO(), kind)


def _status(view: View) -> object:
    return view.figures(), view.best_rows(3)


@functools.cache
def _whole() -> list[Path]:
    """Make stores as they should be: of members that decide alone, and together, with notes."""
    made = Path(tempfile.mkdtemp(prefix="ramet-fuzz-whole-"))
    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0), n=ramet.Integer(1, 9), kind=ramet.Choice(["flip", "-crop"])
    )
    rule = ramet.Truncation(0.4)
    strategies: dict[str, ramet.Strategy] = {
        "alone": ramet.PBT(population=4, turn_steps=5, exploit=rule),
        "together": ramet.PBT(population=4, turn_steps=5, synchronous=True, exploit=rule),
        "fire": ramet.FIRE(subpopulations=2, size=3, evaluators=2, turn_steps=5, evaluate_every=1),
    }
    for name, strategy in strategies.items():
        with patch.multiple(summary, EVERY=FEW, EVERY_PER_MEMBER=1):
            result = ramet.run(
                _train,
                space,
                strategy,
                steps=40,
                mode="max",
                seed=0,
                name="a",
                engine=ramet.Inline(failures=ramet.Failures(tolerate=1.0), progress=False),
                store=ramet.Storage(made / name / FILE, durability="process"),
            )
        # The first page imports and caches modules, which must not count as a trial's own.
        page(result)
        # It keeps the store open.
        del result
        _settle(made / name / FILE)
    return sorted(made.iterdir())


def _train(session: ramet.Session) -> None:
    state = {"w": np.zeros(2)}
    for turn in session.turns(state):
        for _ in turn:
            state["w"] += turn.hparams["lr"] * turn.rng.normal(size=2) + 0 * turn.hparams["n"]
            turn.report(float(state["w"][0]), loss=1.0)
        if turn.hparams["kind"] == "flip" and turn.number == 1:
            raise ValueError("no")


def _settle(store: Path) -> None:
    """Move everything from the write-ahead log into the file."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _bit(rng: random.Random, store: Path) -> None:
    data = bytearray(store.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    store.write_bytes(data)


def _cut(rng: random.Random, store: Path) -> None:
    data = store.read_bytes()
    store.write_bytes(data[: rng.randrange(len(data) + 1)])


def _event(rng: random.Random, store: Path) -> None:
    """Change a part of an event, at any depth, and keep it valid JSON."""

    def changed(rows: sqlite3.Connection) -> None:
        place, event = _chosen(rng, rows)
        at = rng.choice([key for key in KEYS if key in event] or list(event))
        if isinstance(event[at], dict | list) and rng.randrange(3):
            _change(rng, event[at])
        else:
            event[at] = rng.choice([it for it in VALUES if not isinstance(it, bytes)])
        _put(rows, place, [event])

    _write(store, changed)


def _letter(rng: random.Random, store: Path) -> None:
    """Change one digit or letter of the JSON of a row of events."""

    def changed(rows: sqlite3.Connection) -> None:
        (number, _), _ = _chosen(rng, rows)
        text = bytearray(json.dumps(_read_row(rows, number)).encode())
        text[rng.randrange(len(text))] = rng.choice(b'0123456789-[]{}",:.eE tfn\\')
        rows.execute("UPDATE events SET event = ? WHERE number = ?", (bytes(text), number))

    _write(store, changed)


def _swap(rng: random.Random, store: Path) -> None:
    """Swap two events, or move one into the place of the other."""

    def changed(rows: sqlite3.Connection) -> None:
        place, event = _chosen(rng, rows)
        other, instead = _chosen(rng, rows)
        _put(rows, other, [event])
        _put(rows, place, [instead] if rng.randrange(2) else [])

    _write(store, changed)


def _share(rng: random.Random, store: Path) -> None:
    """Move an event into the row of the next, or take it out of a row of several."""

    def changed(rows: sqlite3.Connection) -> None:
        (number, nth), event = _chosen(rng, rows)
        if isinstance(_read_row(rows, number), list):
            _put(rows, (number, nth), [])
            row = rng.choice([number - 1, number + 1])
            rows.execute("UPDATE OR REPLACE events SET number = ? WHERE number = ?", (row, number))
        else:
            rows.execute("DELETE FROM events WHERE number = ?", (number,))
            _put(rows, (number + 1, 0), [event, *_held(_read_row(rows, number + 1))[:1]])

    _write(store, changed)


def _summary(rng: random.Random, store: Path) -> None:
    """Change a part of a summary, at any depth, and keep it valid JSON."""

    def changed(rows: sqlite3.Connection) -> None:
        ((data,),) = rows.execute("SELECT summary FROM summaries").fetchall()
        known = json.loads(data)
        _change(rng, rng.choice([known, known["population"], *known["population"]["members"]]))
        rows.execute("UPDATE summaries SET summary = ?", (json.dumps(known).encode(),))

    _write(store, changed)


def _column(rng: random.Random, store: Path) -> None:
    """Put something else into a column, of some rows of a table."""

    def changed(rows: sqlite3.Connection) -> None:
        tables = rows.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        (table,) = rng.choice(tables)
        (_, column, *_) = rng.choice(rows.execute(f"PRAGMA table_info({table})").fetchall())
        value, part = rng.choice(VALUES), rng.choice([1, 2, 7])
        rows.execute("PRAGMA ignore_check_constraints = 1")
        rows.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE abs(random()) % {part} = 0",  # noqa: S608 - names of our own tables
            (value,),
        )

    _write(store, changed)


def _chosen(rng: random.Random, rows: sqlite3.Connection) -> tuple[Place, dict[str, Any]]:
    numbers = [number for (number,) in rows.execute("SELECT number FROM events").fetchall()]
    # The opening has the most fields, and would be chosen least often if all were equally likely.
    number = rng.choice([*numbers, *numbers[:1] * (len(numbers) // 4)])
    held = _held(_read_row(rows, number))
    nth = rng.randrange(len(held))
    return (number, nth), held[nth]


def _read_row(rows: sqlite3.Connection, number: int) -> Any:
    (data,) = rows.execute("SELECT event FROM events WHERE number = ?", (number,)).fetchone()
    return json.loads(data)


def _held(row: Any) -> list[dict[str, Any]]:
    return row if isinstance(row, list) else [row]


def _put(rows: sqlite3.Connection, place: Place, events: list[dict[str, Any]]) -> None:
    """Put events in the place of one, and delete the row if none is left."""
    number, nth = place
    held = _held(_read_row(rows, number))
    held[nth : nth + 1] = events
    if held:
        data = json.dumps(held[0] if len(held) == 1 else held).encode()
        rows.execute("UPDATE events SET event = ? WHERE number = ?", (data, number))
    else:
        rows.execute("DELETE FROM events WHERE number = ?", (number,))


def _write(store: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change rows, unless an earlier change has left none."""
    broken = (sqlite3.Error, ValueError, LookupError, TypeError, RecursionError, OverflowError)
    with contextlib.suppress(*broken), contextlib.closing(sqlite3.connect(store)) as rows, rows:
        change(rows)


CHANGES = [
    *(_bit, _cut, _event, _event, _event, _letter, _swap, _share),
    *(_summary, _summary, _column, _column),
]

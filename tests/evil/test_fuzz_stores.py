"""Some changed stores, the same each time; `python -m benchmarks.fuzz stores` tries more."""

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from benchmarks.fuzz import stores
from benchmarks.fuzz.forging import forge
from ramet.digest import digest
from ramet.errors import RametError
from ramet.store import SQLiteStore


def test_stores_that_are_changed_have_summaries() -> None:
    for folder in stores._whole():  # noqa: SLF001 - what the fuzzer changes
        assert SQLiteStore(folder / stores.FILE, read_only=True).summary("a") is not None


def test_a_changed_summary_is_given_its_digest(tmp_path: Path) -> None:
    (folder, *_) = stores._whole()  # noqa: SLF001 - what the fuzzer changes
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with contextlib.closing(sqlite3.connect(tmp_path / stores.FILE)) as rows, rows:
        rows.execute("UPDATE summaries SET summary = ?", (b"{}",))
        forge(rows)
        assert rows.execute("SELECT digest FROM summaries").fetchall() == [(digest([b"{}"]),)]


@pytest.mark.parametrize("seed", range(4))
def test_only_errors_of_ours_come_out_of_a_changed_store(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PAGES", 0.0)
    for nth in range(60):
        folder = tmp_path / str(nth)
        folder.mkdir()
        look = stores.trial(random.Random(f"{seed}-{nth}"), folder)  # noqa: S311 - nothing is secret
        with contextlib.suppress(RametError):
            look()

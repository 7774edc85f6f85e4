"""Stores replace a run all at once, or leave it as it is."""

from pathlib import Path

import pytest

from ramet.store import SQLiteStore
from ramet.testing.store_steps import begin, claim, end_turn, opening


def test_a_file_has_the_whole_old_run_if_the_new_one_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(tmp_path / "runs.db")
    begin(store)
    end_turn(store, claim(store))
    before = store.events("lm"), store.seats("lm")

    def dies(*_: object, **__: object) -> None:
        raise OSError("the machine is gone")

    with monkeypatch.context() as patched:
        patched.setattr("ramet.store.rows.add_run", dies)
        with pytest.raises(OSError, match="the machine is gone"):
            store.overwrite_run(opening(), worker="later")
    again = SQLiteStore(tmp_path / "runs.db")
    assert (again.events("lm"), again.seats("lm")) == before
    assert again.check() == []
    again.overwrite_run(opening(), worker="later")
    assert again.check() == []

"""Nobody waits for a store because a call of it was interrupted, at whatever moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ramet.errors import LogMoved
from ramet.events import Annotated
from ramet.store import SQLiteStore
from ramet.testing.store_steps import begin, claim, claim_all
from tests.store.interrupting import ends, interrupt

NOTE = Annotated(member=None, data=1)


def disown(store: SQLiteStore) -> None:
    """Take back what the worker of these calls held."""
    store.disown("lm", worker="gpu-03")


def commit(store: SQLiteStore, *, after: int | None = None) -> None:
    """End a turn with nothing but a note."""
    store.commit(claim(store), [NOTE], (), after=after)


def be_refused(store: SQLiteStore) -> None:
    """End a turn that was decided on an older log, in vain."""
    with pytest.raises(LogMoved):
        commit(store, after=-1)
    disown(store)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.events("lm"), id="read"),
        pytest.param(disown, id="disown"),
        pytest.param(claim_all, id="claim"),
        pytest.param(commit, id="commit"),
        pytest.param(be_refused, id="refused"),
    ],
)
def test_a_store_can_be_used_by_all_after_an_interrupt(
    call: Callable[[SQLiteStore], object], tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    store, other = SQLiteStore(path), SQLiteStore(path)
    begin(store, members=2)
    call(store)
    at = 1
    while (error := interrupt(lambda: call(store), at)) is not None:
        # The error is alive, and the frames in its traceback with it.
        assert error.__traceback__ is not None
        # First the other one, because the first one lets go of what it still holds.
        assert ends(lambda: disown(other)), at
        assert ends(lambda: disown(store)), at
        at += 1
    assert at > 50

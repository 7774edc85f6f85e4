"""Nobody waits for a store because a call of it was interrupted, at whatever moment."""

import dis
import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ramet.events import Annotated
from ramet.store import SQLiteStore
from ramet.testing.store_steps import begin, claim, claim_all

# After these, and where a function begins, Python handles the signals that have come.
LOOKS = {dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD")}
# What is interrupted is our own code, and what it uses of Python's for ``with``.
OURS = ("/ramet/", "/contextlib.py")
PATIENCE_S = 30.0
NOTE = Annotated(member=None, data=1)


class Interrupt(BaseException):
    """What a signal raises."""


class Interrupter:
    """Interrupts the calls of a thread at one of the moments when Python handles signals.

    Args:
        at: The number of that moment, from 1 on.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._before: dict[FrameType, int] = {}

    @property
    def is_late(self) -> bool:
        """Whether there were not as many such moments."""
        return self._left > 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        """Begin to watch a call, as a tracing function of Python does."""
        if not any(part in frame.f_code.co_filename for part in OURS):
            return None
        frame.f_trace_opcodes = True
        # A generator that is closed is "called" as well.
        if event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self._handle_signals()
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            before, now = self._before.get(frame), frame.f_code.co_code[frame.f_lasti]
            self._before[frame] = now
            if before in LOOKS:
                self._handle_signals()
        return self._step

    def _handle_signals(self) -> None:
        self._left -= 1
        if self._left == 0:
            sys.settrace(None)
            raise Interrupt


def interrupt(call: Callable[[], object], at: int) -> Interrupt | None:
    """Interrupt a call; return what it raised, with its traceback, or None if it was over."""
    interrupter, before = Interrupter(at), sys.gettrace()
    sys.settrace(interrupter)
    try:
        call()
    except Interrupt as error:
        return error
    finally:
        sys.settrace(before)
    assert interrupter.is_late
    return None


def ends(call: Callable[[], object]) -> bool:
    """Say whether a call ends, made by another thread."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def disown(store: SQLiteStore) -> None:
    """Take back what the worker of these calls held."""
    store.disown("lm", worker="gpu-03")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.events("lm"), id="read"),
        pytest.param(disown, id="disown"),
        pytest.param(claim_all, id="claim"),
        pytest.param(lambda store: store.commit(claim(store), [NOTE], ()), id="commit"),
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
        assert ends(lambda: disown(store)), at
        assert ends(lambda: disown(other)), at
        at += 1
    assert at > 50

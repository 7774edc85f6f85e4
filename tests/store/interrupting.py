"""Interrupts of calls, at each moment when Python handles signals."""

import contextlib
import dis
import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ramet

# Behind these, and where a function begins, Python handles the signals that have come. Some exist
# in later versions only.
NAMES = ("CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD")
CHECKS = {dis.opmap[name] for name in NAMES if name in dis.opmap}
# What is interrupted is our own code, and Python's for generators as contexts.
OURS, CONTEXTS = str(Path(ramet.__file__).parent), contextlib.__file__
PATIENCE_S = 30.0


class Interrupt(BaseException):
    """What a signal raises."""


class Interrupter:
    """Interrupts the calls of a thread at one of the moments when Python handles signals.

    Args:
        at: The number of that moment, from 1 on.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        # The last operation of each call, unless that raised an exception.
        self._before: dict[FrameType, int] = {}

    @property
    def never_came(self) -> bool:
        """Whether there were not as many such moments."""
        return self._left > 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        """Begin to watch a call, as a tracing function of Python does."""
        file = frame.f_code.co_filename
        if not file.startswith(OURS) and file != CONTEXTS:
            return None
        frame.f_trace_opcodes = True
        # Not where a generator is "called": it may be closed then, and no signals are handled.
        if event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self._handle_signals()
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            before, now = self._before.get(frame), frame.f_code.co_code[frame.f_lasti]
            self._before[frame] = now
            if before in CHECKS:
                self._handle_signals()
        elif event == "exception":
            self._before.pop(frame, None)
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
    assert interrupter.never_came
    return None


def ends(call: Callable[[], object]) -> bool:
    """Say whether a call succeeds in time, made by another thread."""
    done = threading.Event()

    def make() -> None:
        call()
        done.set()

    threading.Thread(target=make, daemon=True).start()
    return done.wait(PATIENCE_S)

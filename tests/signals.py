"""Signals that tests send, whatever the shell that started the tests ignores."""

import contextlib
import signal
from typing import Any

import pytest

# A shell without job control has its background jobs ignore SIGINT, and processes inherit that.
# SIGHUP stays as it is: no test sends it, and tests under nohup must outlive their terminal.
DISPOSITIONS = {
    "SIGINT": signal.default_int_handler,
    "SIGTERM": signal.SIG_DFL,
    "SIGQUIT": signal.SIG_DFL,
    "SIGALRM": signal.SIG_DFL,
    "SIGTSTP": signal.SIG_DFL,
}


def named(*names: str) -> list[Any]:
    """Return parameters of a test: signals, each skipped where the system does not have it."""
    return [
        pytest.param(
            getattr(signal, name, None),
            id=name,
            marks=pytest.mark.skipif(not hasattr(signal, name), reason=f"there is no {name}"),
        )
        for name in names
    ]


def restore() -> None:
    """Have this process take the signals that it ignores, as those that it starts then do too."""
    for name, disposition in DISPOSITIONS.items():
        number = getattr(signal, name, None)  # Windows has not all of them.
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(ValueError):  # Not in the main thread.
                signal.signal(number, disposition)

"""Closes connections around forks.

A forked process would inherit a connection without its locks, and using it could damage the file
(sqlite.org/howtocorrupt.html, 2.6).
"""

import os
import threading
import weakref
from typing import Protocol

from ramet.store import sharing as _locked_last  # noqa: F401 - see there


class Connected(Protocol):
    """Something that has connections."""

    def pause(self) -> None:
        """Close the connection, and let no thread use it until ``resume``."""
        ...

    def resume(self) -> None:
        """Let the connection be used again."""
        ...


_open: "weakref.WeakSet[Connected]" = weakref.WeakSet()
_forking = threading.Lock()
_paused: list[Connected] = []


def watch(connected: Connected) -> None:
    """Pause this around every fork."""
    with _forking:
        _open.add(connected)


def _pause_all() -> None:
    _forking.acquire()
    failed: Exception | None = None
    for connected in list(_open):
        try:
            connected.pause()
        except Exception as error:  # noqa: BLE001 - raised below, once the others are paused
            failed = error
        else:
            _paused.append(connected)
    if failed is not None:
        raise failed


def _resume_all() -> None:
    while _paused:
        _paused.pop().resume()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_resume_all)

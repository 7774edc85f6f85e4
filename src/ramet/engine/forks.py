"""Processes that training forks in a worker end on SIGTERM, as those of any other program do."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], None]


def keep_to_this_process(handler: Handler) -> None:
    """Have a handler of SIGTERM go through no fork.

    A process pool ends its processes with SIGTERM, and waits for them. One that had our handler
    would miss a signal that comes before Python runs there, and be waited for for ever. So the
    signal is held back in the thread that forks, until the child has no handler any more.
    """
    if not hasattr(os, "register_at_fork"):
        return
    # Other threads may fork at the same time.
    this_thread = threading.local()

    def hold_back() -> None:
        this_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, this_thread.mask)

    def let_through_in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_through()

    os.register_at_fork(
        before=hold_back, after_in_parent=let_through, after_in_child=let_through_in_child
    )

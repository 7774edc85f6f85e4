"""A heartbeat: says from a thread that this process is alive, while a turn is out."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger("ramet")


class Heartbeat:
    """Beats every so many seconds until a beat says that there is nothing to beat for."""

    def __init__(self, beat: Callable[[], bool], *, every_s: float) -> None:
        self._beat, self._every_s = beat, every_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Whether there may be something that the last beat did not see.
        self._started = False
        # A queue may be put into while garbage is collected, whatever this thread is doing.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self) -> None:
        """See to it that the heart beats."""
        with self._lock:
            self._started = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ramet-beat", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Have the next beat come now."""
        self._woken.put(None)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._woken.get(timeout=min(self._every_s, threading.TIMEOUT_MAX))
            with self._lock:
                self._started = False
            try:
                needed = self._beat()
            except Exception as error:  # noqa: BLE001 - stores of one's own raise what they like
                # The store may be back before the lease runs out.
                logger.warning("could not hold on to the turns that are out: %s", error)
                continue
            with self._lock:
                if not needed and not self._started:
                    self._thread = None
                    return
                self._started = False

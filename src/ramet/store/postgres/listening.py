"""Waits until something was written to a run, by the notifications of the server."""

import os
import threading
from contextlib import suppress

import psycopg

from ramet.clock import Clock
from ramet.store.postgres.server import Server
from ramet.store.postgres.transaction import Connection


class Listening:
    """A connection that is notified of what waiting workers wait for.

    Args:
        server: What connects.
        channel: The name of the notifications, which needs no quotes.
        clock: What waits where nothing can be notified.
    """

    def __init__(self, server: Server, channel: str, clock: Clock) -> None:
        self._server, self._channel, self._clock = server, channel, clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._pid = os.getpid()

    def wait(self, most_s: float) -> bool:
        """Wait for the next notification; return whether one came before the time was over.

        Notifications that came since the last call count too.
        """
        if self._pid != os.getpid():
            self._lock, self._pid, self._connection = threading.Lock(), os.getpid(), None
        with self._lock:
            try:
                if not self._server.pooled:
                    return self._hear(most_s)
            except psycopg.Error:
                self._close()
        self._clock.sleep(most_s)
        return False

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        # Absent if it was never made.
        if hasattr(self, "_pid"):
            self._close()

    def _hear(self, most_s: float) -> bool:
        if self._connection is None:
            self._connection = self._server.connect()
            self._connection.execute(f"LISTEN {self._channel}".encode())
            # What was written before that has notified no one.
            return True
        return any(True for _ in self._connection.notifies(timeout=most_s, stop_after=1))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            with suppress(psycopg.Error):
                connection.close()

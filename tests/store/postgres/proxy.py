"""A TCP proxy in front of a server, which harms what passes through it."""

import contextlib
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

# What is done with a message of the client: it is lost, and the connection with it; it arrives, and
# the answer is lost with the connection; it is late; the client's side is closed at once and the
# server's later, so that locks outlive the connection.
Harm: TypeAlias = Literal["lost", "unanswered", "late", "half-closed"]
HARMS: tuple[Harm, ...] = ("lost", "unanswered", "late", "half-closed")
LATE_S, HALF_CLOSED_S, ANSWER_S = 0.02, 0.3, 0.1
CHUNK = 1 << 16


class Proxy:
    """Passes bytes on, and harms one message in so many.

    Args:
        port: The server's port on loopback.
        seed: What decides which messages are harmed, and how.
        one_in: How many messages there are for each one that is harmed, on average.
        harms: What may be done to them.
    """

    def __init__(
        self, port: int, *, seed: int, one_in: float, harms: Sequence[Harm] = HARMS
    ) -> None:
        self._port, self._one_in, self._harms = port, one_in, harms
        self._chance = random.Random(seed)  # noqa: S311 - the same each time
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.done: list[Harm] = []
        self.harming = True

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            server = socket.create_connection(("127.0.0.1", self._port))
            with server:
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._pass_one(client, server):
                    pass

    def _pass_one(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what is there; return whether both sides are still open."""
        ready, _, _ = select.select([client, server], [], [])
        for end in ready:
            data = end.recv(CHUNK)
            if not data:
                return False
            if end is server:
                client.sendall(data)
            elif not self._harm(self._choose(), data, client, server):
                return False
        return True

    def _choose(self) -> Harm | None:
        if not self.harming or self._chance.random() * self._one_in >= 1.0:
            return None
        self.done.append(self._chance.choice(self._harms))
        return self.done[-1]

    def _harm(
        self, harm: Harm | None, data: bytes, client: socket.socket, server: socket.socket
    ) -> bool:
        """Pass a message of the client on, more or less; return whether the connection lives."""
        if harm == "lost":
            reset(client)
            return False
        if harm == "late":
            threading.Event().wait(LATE_S)
        server.sendall(data)
        if harm == "unanswered":
            select.select([server], [], [], ANSWER_S)
            reset(client)
            return False
        if harm == "half-closed":
            client.shutdown(socket.SHUT_WR)
            threading.Event().wait(HALF_CLOSED_S)
            return False
        return True


def reset(end: socket.socket) -> None:
    """Close a connection as if the other side had died."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


@contextlib.contextmanager
def proxy(port: int, *, seed: int, one_in: float, harms: Sequence[Harm] = HARMS) -> Iterator[Proxy]:
    """Run a proxy as long as the block lasts."""
    made = Proxy(port, seed=seed, one_in=one_in, harms=harms)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()

"""A proxy between a client and a server of object storage, which fails as tests tell it to."""

import contextlib
import http.client
import http.server
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.cloud.servers import Server

# An error of the server; an answer that breaks off, is whole and too short, comes bit by bit, or
# never; a request that breaks off.
Fault = Literal["500", "503", "403", "torn", "short", "slow", "silent", "hang up"]
# Parts of a slow answer, and the time between them.
PARTS, PART_S = 10, 0.3
ECHO = """<?xml version="1.0"?><Error><Code>%s</Code><Message>as the test wants</Message>
<StringToSign>%s</StringToSign></Error>"""
CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}


@dataclass
class Proxy:
    """Passes requests on, except those for which ``fail`` names a fault."""

    upstream: Server
    fail: Callable[[str, str], Fault | None] = lambda method, path: None
    # The method and the path of each request, in order.
    seen: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""
    closed: threading.Event = field(default_factory=threading.Event)

    def fail_every(self, every: int, *faults: Fault) -> None:
        """Fail one in some requests, in turn in each of these ways."""
        count, ways = itertools.count(1), itertools.cycle(faults)
        lock = threading.Lock()

        def fail(method: str, path: str) -> Fault | None:
            with lock:
                return next(ways) if next(count) % every == 0 else None

        self.fail = fail

    def fail_all(self, fault: Fault, *methods: str) -> None:
        """Fail all requests, or all with these methods."""
        self.fail = lambda method, path: fault if not methods or method in methods else None


@contextlib.contextmanager
def proxy(upstream: Server) -> Iterator[Proxy]:
    made = Proxy(upstream)
    handler = type("Handler", (_Handler,), {"made": made})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        made.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.closed.set()
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    made: Proxy

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def pass_on(self) -> None:
        self.made.seen.append((self.command, self.path))
        fault = self.made.fail(self.command, self.path)
        if fault == "hang up":
            self.close_connection = True
            return
        if fault == "silent":
            self.made.closed.wait()
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault in {"500", "503", "403"}:
            echo = ECHO % (CODES[int(fault)], str(self.headers))
            self.answer(int(fault), {}, echo.encode())
            return
        status, headers, data = self.ask(body)
        if fault == "short" and self.command == "GET":
            data = data[: len(data) // 2]
        self.answer(status, headers, data, torn=fault == "torn", slow=fault == "slow")

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.made.upstream.port)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def answer(
        self,
        status: int,
        headers: dict[str, str],
        data: bytes,
        *,
        torn: bool = False,
        slow: bool = False,
    ) -> None:
        self.send_response(status)
        bodiless = self.command == "HEAD" or status in {204, 304}
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if bodiless else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        if slow and not bodiless:
            for part in range(PARTS):
                time.sleep(PART_S)
                self.wfile.write(data[part * len(data) // PARTS : (part + 1) * len(data) // PARTS])
        elif not bodiless:
            self.wfile.write(data[: len(data) // 2] if torn else data)
        self.close_connection = self.close_connection or torn

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - its names

    def log_message(self, *args: object) -> None:
        pass

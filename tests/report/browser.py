"""Headless Chromium, driven through a pipe: what a page shows, complains of and asks for."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# How long anything may take on a machine that is busy.
PATIENCE_S = 60.0
FLAGS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"),
    *("--disable-background-networking", "--disable-extensions", "--hide-scrollbars"),
    "--disable-dev-shm-usage",
)


class Page:
    """One page of a browser."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._last, self._left, self._session = 0, b"", None
        # What the browser told, beside answers.
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == self._last:
                assert "error" not in told, told
                answer: dict[str, Any] = told["result"]
                return answer
            self.events.append(told)

    def open(self, file: Path, *, width: int = 1280, height: int = 900) -> None:
        """Show a file."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        before = len(self.events)
        self.ask("Page.navigate", url=file.as_uri())
        limit = time.monotonic() + PATIENCE_S
        while not any(it["method"] == "Page.loadEventFired" for it in self.events[before:]):
            assert time.monotonic() < limit
            self.events.append(self._read())

    def run(self, code: str) -> Any:
        """Return what JavaScript comes to."""
        answer = self.ask("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key)

    def picture(self, file: Path) -> None:
        """Write the whole page as PNG."""
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def printed(self, file: Path) -> None:
        """Write the page as PDF, as it is printed."""
        made = self.ask("Page.printToPDF", preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(made["data"]))

    @property
    def complaints(self) -> list[str]:
        """What stands on the console."""
        kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [json.dumps(event) for event in self.events if event["method"] in kinds]

    @property
    def requests(self) -> list[str]:
        """What was asked for, beside what the page holds itself."""
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith("data:")]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self._reads, 1 << 16)
            assert more, "the browser ended"
            self._left += more
        told, self._left = self._left.split(b"\0", 1)
        message: dict[str, Any] = json.loads(told)
        return message


# Becomes a command, with two of its files as numbers 3 and 4.
RENUMBERED = """
import os, sys
for at, end in enumerate(map(int, sys.argv[1:3]), 3):
    os.dup2(end, at)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def opened(executable: str, profile: Path) -> Iterator[Page]:
    """Start a browser with a profile of its own."""
    fcntl = pytest.importorskip("fcntl", reason="needs the pipes of Unix")
    it_reads, we_write = os.pipe()
    we_read, it_writes = os.pipe()
    # Out of the way of 3 and 4, which it reads from and writes to.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (it_reads, it_writes)]
    command = [executable, *FLAGS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:  # Who cannot have its sandbox.
        command.append("--no-sandbox")
    process = subprocess.Popen(
        [sys.executable, "-c", RENUMBERED, *map(str, theirs), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=theirs,
    )
    for end in (*theirs, it_reads, it_writes):
        os.close(end)
    try:
        yield Page(we_read, we_write)
    finally:
        process.kill()
        process.wait()
        os.close(we_read)
        os.close(we_write)

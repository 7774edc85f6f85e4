"""Figures of a part, each on the disk as soon as it is known, and when the part must end."""

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reporting import report

# How long something is timed, and how often at least.
TIMED_S, TIMES = 0.3, 3


class Part:
    """One part of the script: where its figures go, and how much time is left for more."""

    def __init__(self, name: str, out: Path, *, limit_s: float, small: bool, as_json: bool) -> None:
        self.name, self.small = name, small
        self._file, self._as_json = out / "device.jsonl", as_json
        self._began_s, self._limit_s = time.monotonic(), limit_s

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self._began_s + self._limit_s - time.monotonic()

    def write(self, **figures: Any) -> None:
        """Report figures, and flush them to the file."""
        at_s = round(time.monotonic() - self._began_s, 1)
        line = {"part": self.name, **figures, "at_s": at_s}
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        report(line, as_json=self._as_json)

    def measure(
        self, figures: Callable[[], dict[str, Any]], *, needs_s: float = 0, **what: Any
    ) -> dict[str, Any]:
        """Write the figures that a function returns, or the exception that it raised.

        With less time left than it needs, it is not called, and the line says so.
        """
        began_s, found = time.monotonic(), {}
        if needs_s > self.left_s:
            found = {"skipped": f"{self.left_s:.0f} s are left"}
        else:
            try:
                found = figures()
            except Exception as error:  # noqa: BLE001 - it is written down, and the next is measured
                found = {
                    "error": f"{type(error).__name__}: {str(error)[:1_500]}",
                    "traceback": traceback.format_exc()[-1_500:],
                }
        self.write(**what, **found, took_s=round(time.monotonic() - began_s, 1))
        return found


def seconds(call: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """Return the seconds that a call takes, the median of several, once it is compiled."""
    wait(call())
    taken_s: list[float] = []
    while len(taken_s) < TIMES or sum(taken_s) < TIMED_S:
        began_s = time.perf_counter()
        wait(call())
        taken_s.append(time.perf_counter() - began_s)
    return sorted(taken_s)[len(taken_s) // 2]

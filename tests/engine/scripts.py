"""Runs that other processes train: scripts, and what to wait for while they are at it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ramet
from ramet.events import TurnEnded
from ramet.history.doctor import Finding, examine
from ramet.places import place
from ramet.store.base import Seat

ROOT = Path(__file__).parents[2]
# Until a test gives up on what it waits for.
PATIENCE_S = 60.0


def started(script: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a script in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=script.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a script; return its exit code and what it printed."""
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, err


def ran(script: Path, *arguments: str, **environment: str) -> str:
    """Run a script that must not fail; return what it printed."""
    code, out, err = finished(started(script, *arguments, **environment))
    assert code == 0, err
    return out


def wait_for(what: Callable[[], Any]) -> Any:
    """Return what a function comes to, as soon as it is true."""
    began = time.monotonic()
    pause = threading.Event()
    while not (found := what()):
        waited = time.monotonic() - began
        assert waited < PATIENCE_S, f"waited in vain for {what}"
        # What is waited for needs the processor more than who asks for it.
        pause.wait(min(0.01 + 0.05 * waited, 0.1))
    return found


def result_in(store: Path, name: str = "run") -> ramet.Result:
    where = place(store)
    return ramet.Result(store=where.store, blobs=where.blobs, name=name)


def seats_in(store: Path, name: str = "run") -> list[Seat]:
    return place(store).store.seats(name)


def findings_in(store: Path, name: str = "run") -> list[Finding]:
    where = place(store)
    return examine(where.store, where.blobs, name)


def ended(result: ramet.Result) -> list[tuple[int, int]]:
    """Return the turns that ended, as often as they did."""
    return sorted((one.member, one.turn) for one in result.events if isinstance(one, TurnEnded))


def alive(pid: int) -> bool:
    """Say whether a process is there, and no mere entry that its parent has not read."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}

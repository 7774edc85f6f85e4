"""Ways to call `ramet`: in this process, or as people do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner, Result

from ramet.cli import app

EXECUTABLE = Path(sys.executable).with_name("ramet")
QUICK = Path(__file__).with_name("quick.py")
# How long anything may take on a machine that is busy.
PATIENCE_S = 60.0


def ramet(*arguments: object) -> Result:
    """Call the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def started(*arguments: object, pause_s: float = 0.0, cwd: Path | None = None) -> Any:
    """Start the command in a process of its own; a turn of quick.py takes so long."""
    environment = {**os.environ, "QUICK_PAUSE_S": str(pause_s), "COLUMNS": "100"}
    return subprocess.Popen(
        [str(EXECUTABLE), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def called(*arguments: object, cwd: Path | None = None) -> tuple[int, str, str]:
    """Call the command in a process of its own; return its exit code, output and errors."""
    return ended(started(*arguments, cwd=cwd))


def ended(process: Any) -> tuple[int, str, str]:
    """Wait for a process; return its exit code, output and errors."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate(timeout=PATIENCE_S)
        raise AssertionError(
            f"{process.args} did not end; it printed {out!r} and {err!r}"
        ) from None
    return process.returncode, out, err


def until(truth: Callable[[], bool]) -> None:
    """Wait until something is so."""
    began = time.monotonic()
    while not truth():
        waited = time.monotonic() - began
        assert waited < PATIENCE_S
        # What is waited for needs the processor more than who asks for it.
        time.sleep(min(0.02 + 0.05 * waited, 0.1))


def figures(store: Path, *more: object) -> dict[str, Any]:
    """Return what `ramet status --json` says of a run."""
    done = ramet("status", store, *more, "--json")
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = msgspec.json.decode(done.stdout)
    return told


def trains(store: Path) -> bool:
    """Say whether the run in a store has ended a turn."""
    begun = store.exists() and ramet("runs", store, "--json").stdout
    return bool(begun) and figures(store)["turns"] > 0

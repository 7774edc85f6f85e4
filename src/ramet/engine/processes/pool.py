"""Worker processes on one machine: start, watch, replace and stop them."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from ramet.engine.processes.child import GRACE_S
from ramet.engine.processes.printing import Prints
from ramet.engine.processes.reports import Report
from ramet.engine.processes.script import this_script
from ramet.engine.processes.watchman import Ended, Watchman, disown_all
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import StoreError, UsageError
from ramet.faults import VARIABLE

logger = logging.getLogger("ramet")

# Time between two checks of the processes.
LOOK_S = 0.02

# The working directory is on the path until we set it; before that, import built-in modules only.
CHILD = """\
import marshal, sys
sys.path[:] = marshal.load(sys.stdin.buffer)
from ramet.engine.processes.child import main
main()
"""
# A note for errors that a store raises before any turn has ended.
RUN_AGAIN = (
    "A script runs again in each worker process, up to ramet.run. If it deletes or moves the "
    "store, put that behind `if __name__ == '__main__':`."
)


class Crew:
    """The worker processes of a run; they end with the ``with`` block."""

    def __init__(self, job: bytes, environments: list[dict[str, str]], *, name: str) -> None:
        self._job, self._environments, self._name = job, environments, name
        self._folder = tempfile.TemporaryDirectory(prefix="ramet-crew-")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._prints: dict[int, Prints] = {}
        # The number of processes started in each place so far.
        self._started: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.kill()
            self._folder.cleanup()

    def __len__(self) -> int:
        return len(self._processes)

    def worker(self, index: int) -> str:
        """Return the name of the current worker in a place."""
        return f"{self._name}-{index}.{self._started[index]}"

    def start_all(self) -> None:
        """Start a worker in each place."""
        for index in range(len(self._environments)):
            self.start(index)

    def start(self, index: int) -> None:
        """Start a worker in its place."""
        self._started[index] += 1
        environment = dict(self._environments[index])
        if self._started[index] > 1:
            # The crash that a test asked for has happened.
            environment.pop(VARIABLE, None)
        # Options of this interpreter, such as -O.
        options = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
        command = [sys.executable, *options, "-c", CHILD]
        command += [self.worker(index), str(self._report(index))]
        prints = self._prints[index] = Prints(f"worker {index}")
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=prints.stdout,
            stderr=prints.stderr,
            pass_fds=prints.held,
            env=environment,
            process_group=0,
        )
        prints.show()
        self._processes[index] = process
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # It died; ``reap`` finds out.
                process.stdin.write(self._job)
                process.stdin.flush()

    def reap(self) -> Iterator[Ended]:
        """Yield each worker that ended since the last call."""
        for index, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            self._kill(index)
            file = self._report(index)
            written = file.read_bytes() if file.exists() else None
            report = None if written is None else msgspec.json.decode(written, type=Report)
            yield Ended(index, self.worker(index), _how(code), report)

    def stop(self) -> None:
        """Ask all workers to give back their turns and end; kill those that do not."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        until = time.monotonic() + GRACE_S
        for index, process in list(self._processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            self._kill(index)

    def kill(self) -> None:
        """Kill all workers and every process that they started."""
        for index in list(self._processes):
            self._kill(index)

    def _kill(self, index: int) -> None:
        """Kill a worker and all that it started, whether or not it has ended."""
        process = self._processes[index]
        # Processes that it started, such as data loaders, have no more use.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._prints.pop(index).end()
        del self._processes[index]
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def _report(self, index: int) -> Path:
        return Path(self._folder.name) / f"{self.worker(index)}.json"


def check_interpreter() -> None:
    """Refuse to train in processes if there is no interpreter to start them with."""
    python: object = sys.executable
    if not (isinstance(python, str) and os.access(python, os.X_OK)):
        raise UsageError(
            f"sys.executable must be the Python that workers are started with, but it is "
            f"{python!r}, as in a program that Python is embedded in; set it to the path of a "
            f"Python that has ramet, or train in this process, workers=0"
        )


def train_in_processes(
    run: Run, job: bytes, environments: list[dict[str, str]], *, watch: Watch
) -> None:
    """Train a run in worker processes, one in each environment, until it is over or stopped."""
    crew = Crew(job, environments, name=run.worker)
    try:
        Watchman(run, workers=len(environments)).keep(crew, watch, every_s=LOOK_S)
    except StoreError as error:
        if this_script() is not None and not run.population.turns:
            error.add_note(RUN_AGAIN)
        raise
    finally:
        disown_all(run, map(crew.worker, range(len(environments))))
    watch(run)


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"

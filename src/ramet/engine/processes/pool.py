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
from typing import NamedTuple, Self

import msgspec

from ramet import errors
from ramet.engine.processes.child import GRACE_S, Report
from ramet.engine.processes.printing import Prints
from ramet.engine.processes.script import this_script
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import RametError, RunFailed, StoreBusy, StoreError, UsageError
from ramet.faults import VARIABLE

logger = logging.getLogger("ramet")

# Time between two checks of the processes.
LOOK_S = 0.02
# Deaths of workers in one turn after which that turn is given up.
FATAL_DEATHS = 3
# Deaths in a row, with no turn ended between them, after which the run stops, at the least.
DEATHS_IN_A_ROW = 6

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


class Ended(NamedTuple):
    """A worker process that has ended."""

    # Its place among the workers.
    place: int
    worker: str
    # The exit code; if negative, the signal that killed it.
    code: int
    report: Report | None


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
            report = self._report(index)
            written = report.read_bytes() if report.exists() else None
            error = None if written is None else msgspec.json.decode(written, type=Report)
            yield Ended(index, self.worker(index), code, error)

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


class Watchman:
    """Takes back the turns of dead workers, and stops a run if its workers keep dying."""

    def __init__(self, run: Run, *, workers: int) -> None:
        self._run = run
        # One fault of the machine may kill all workers at once, and then their replacements.
        self._bearable = max(DEATHS_IN_A_ROW, 2 * workers)
        self._deaths: Counter[tuple[int, int]] = Counter()
        self._in_a_row = 0
        self._turns = run.population.turns
        self._done_at: float | None = None

    def see_to(self, ended: Ended) -> None:
        """Take back the turn of a dead worker; raise the error that it reported."""
        if ended.report is not None:
            raise as_raised(ended.report) from WorkerTraceback(ended.report.traceback)
        members = self._take_back(ended.worker)
        logger.warning(
            "worker %s %s; another takes its place",
            ended.worker,
            _how(ended.code),
            extra={"worker": ended.worker, "code": ended.code},
        )
        for member in members:
            self._count(member, ended.code)
        self._check(ended)

    def is_out_of_patience(self) -> bool:
        """Return whether only stragglers still train, and their time is over."""
        if self._run.failures.straggler_timeout_s is None or not self._run.done:
            return False
        self._done_at = self._done_at or time.monotonic()
        return self._run.failures.has_waited_enough(time.monotonic() - self._done_at)

    def _take_back(self, worker: str) -> list[int]:
        """Take back a dead worker's turn, however long others keep the store locked."""
        while True:
            with contextlib.suppress(StoreBusy):  # The store logs which process it waits for.
                return self._run.disown(worker)

    def _count(self, member: int, code: int) -> None:
        """Give up a turn that has killed several workers."""
        turn = self._run.population[member].turn
        self._deaths[member, turn] += 1
        if self._deaths[member, turn] < FATAL_DEATHS:
            return
        if self._run.give_up(member, turn=turn, why="fatal") and self._run.population.turns:
            # Other turns do end, so this turn was the cause, and the row of deaths ends with it.
            self._in_a_row = 0
            error = RunFailed(f"a worker process {_how(code)} in turn {turn} of member {member}")
            self._run.failures.check(self._run.population, error, failed_here=0)

    def _check(self, ended: Ended) -> None:
        turns = self._run.population.turns
        self._in_a_row = self._in_a_row + 1 if turns == self._turns else 1
        self._turns = turns
        if self._in_a_row >= self._bearable:
            raise RunFailed(
                f"worker processes must live to end a turn, but {self._in_a_row} in a row did not; "
                f"the last {_how(ended.code)}. What they printed is above; the machine may also "
                f"have run out of memory. No ended turn is lost: the same call resumes the run"
            )


class WorkerTraceback(Exception):
    """The traceback of an error in a worker process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def train_in_processes(
    run: Run, job: bytes, environments: list[dict[str, str]], *, watch: Watch
) -> None:
    """Train a run in worker processes, one in each environment, until it is over or stopped."""
    watchman = Watchman(run, workers=len(environments))
    crew = Crew(job, environments, name=run.worker)
    try:
        with crew:
            crew.start_all()
            while len(crew) and not watchman.is_out_of_patience():
                time.sleep(LOOK_S)
                gone = list(crew.reap())
                # Read after ``reap``: a worker that found the run over was right to end.
                over = run.over
                watch(run)
                for ended in gone:
                    if over and ended.report is None:
                        continue
                    watchman.see_to(ended)
                    crew.start(ended.place)
    except StoreError as error:
        if this_script() is not None and not run.population.turns:
            error.add_note(RUN_AGAIN)
        raise
    finally:
        for index in range(len(environments)):
            try:
                run.disown(crew.worker(index))
            except StoreError as error:
                # The first error matters more; the leases expire by themselves.
                logger.warning("could not take back the turns of workers: %s", error)
                break
    watch(run)


def as_raised(report: Report) -> Exception:
    """Return a worker's error as an exception of this process."""
    kind = getattr(errors, report.kind, None)
    if isinstance(kind, type) and issubclass(kind, RametError):
        return kind(report.message)
    remedy = "; to stop a run, call turn.stop_run() and let the loop end its turn"
    leaves = report.kind in {"SystemExit", "KeyboardInterrupt"}
    return RunFailed(
        f"a worker process ended with {report.kind}: {report.message}{remedy if leaves else ''}"
    )


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"

"""What `ramet submit` sends to Slurm: a job that is one `ramet worker`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

# Seconds between two looks at whether the worker has ended.
LOOK_S = 0.2


class WorkerJob:
    """Runs `ramet worker` in a process of its own, and lets it end its turn before the job ends.

    Args:
        arguments: What stands behind `ramet worker`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        # Whether the worker must leave, and whether it has got the signal. A second signal would
        # end its turn at once.
        self._leaves, self._told = False, False

    def __call__(self) -> None:
        """Work until the run is over; an error is raised if the worker ends otherwise."""
        # Whatever submitit does about SIGTERM, it is for the worker.
        signal.signal(signal.SIGTERM, self._pass_on)
        self._start()
        try:
            code = self._wait()
        finally:
            self._ask_to_leave()
        if code:
            raise RuntimeError(f"ramet worker ended with exit code {code}: its log says why")

    def checkpoint(self) -> Any:
        """Let the worker leave, and return the job that takes its place.

        submitit calls this when the job is pre-empted, or when its time is nearly over.
        """
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 - an extra

        self._ask_to_leave()
        if self._process is not None:
            # This interrupts a wait, which must still find the process afterwards.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(WorkerJob(self._arguments))

    def _start(self) -> None:
        command = [sys.executable, "-m", "ramet", "worker", *self._arguments]
        # Slurm may send its notice to all processes of the job, and it would end the worker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        try:
            self._process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - ours
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._leaves:
            # The signal came when there was no process to pass it on to.
            self._ask_to_leave()

    def _wait(self) -> int | None:
        while self._process is not None and self._process.poll() is None:
            time.sleep(LOOK_S)
        return None if self._process is None else self._process.returncode

    def _pass_on(self, _signal: int, _frame: FrameType | None) -> None:
        self._ask_to_leave()

    def _ask_to_leave(self) -> None:
        self._leaves = True
        if self._process is None or self._told or self._process.returncode is not None:
            return
        self._told = True
        os.kill(self._process.pid, signal.SIGTERM)

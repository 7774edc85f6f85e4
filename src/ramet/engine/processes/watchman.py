"""Watches the workers of a run: replaces those that die, and takes back their turns."""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, Protocol, Self

from ramet.engine.processes.reports import Report, raise_report
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import RunFailed, StoreBusy, StoreError

logger = logging.getLogger("ramet")

# Deaths of workers in one turn after which that turn is given up.
FATAL_DEATHS = 3
# Deaths in a row, with no turn ended between them, after which the run stops, at the least.
DEATHS_IN_A_ROW = 6


class Ended(NamedTuple):
    """A worker process that has ended."""

    # Its place among the workers.
    place: int
    worker: str
    # What became of it, as messages say it.
    how: str
    report: Report | None = None
    # Whether its machine was lost with it, so that its turn was not the cause.
    machine: bool = False


class Workers(Protocol):
    """The worker processes of a run; they end with the ``with`` block."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def start_all(self) -> None:
        """Start a worker in each place."""
        ...

    def start(self, place: int, /) -> None:
        """Start a worker in its place."""
        ...

    def reap(self) -> Iterable[Ended]:
        """Return each worker that ended since the last call."""
        ...


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

    def keep(self, workers: Workers, watch: Watch, *, every_s: float) -> None:
        """Keep workers in all places until the run is over, or only stragglers still train.

        Args:
            workers: The workers.
            watch: Called after every look at them.
            every_s: Seconds between two looks.
        """
        with workers:
            workers.start_all()
            while len(workers) and not self.is_out_of_patience():
                time.sleep(every_s)
                gone = list(workers.reap())
                # Read after ``reap``: a worker that found the run over was right to end.
                over = self._run.over
                watch(self._run)
                for ended in gone:
                    if over and ended.report is None:
                        continue
                    self.see_to(ended)
                    workers.start(ended.place)

    def see_to(self, ended: Ended) -> None:
        """Take back the turn of a dead worker; raise the error that it reported."""
        if ended.report is not None:
            raise_report(ended.report)
        members = self._take_back(ended.worker)
        logger.warning(
            "worker %s %s; another takes its place",
            ended.worker,
            ended.how,
            extra={"worker": ended.worker, "how": ended.how},
        )
        if ended.machine:
            return
        for member in members:
            self._count(member, ended.how)
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

    def _count(self, member: int, how: str) -> None:
        """Give up a turn that has killed several workers."""
        turn = self._run.population[member].turn
        self._deaths[member, turn] += 1
        if self._deaths[member, turn] < FATAL_DEATHS:
            return
        if self._run.give_up(member, turn=turn, why="fatal") and self._run.population.turns:
            # Other turns do end, so this turn was the cause, and the row of deaths ends with it.
            self._in_a_row = 0
            error = RunFailed(f"a worker process {how} in turn {turn} of member {member}")
            self._run.failures.check(self._run.population, error, failed_here=0)

    def _check(self, ended: Ended) -> None:
        turns = self._run.population.turns
        self._in_a_row = self._in_a_row + 1 if turns == self._turns else 1
        self._turns = turns
        if self._in_a_row >= self._bearable:
            raise RunFailed(
                f"worker processes must live to end a turn, but {self._in_a_row} in a row did not; "
                f"the last {ended.how}. What they printed is above; the machine may also "
                f"have run out of memory. No ended turn is lost: the same call resumes the run"
            )


def disown_all(run: Run, workers: Iterable[str]) -> None:
    """Take back what workers held that have ended.

    Args:
        run: The run.
        workers: The names of the workers.
    """
    for worker in workers:
        try:
            run.disown(worker)
        except StoreError as error:
            # The first error matters more; the leases expire by themselves.
            logger.warning("could not take back the turns of workers: %s", error)
            break

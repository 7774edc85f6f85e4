"""The actor that keeps the workers of a run, whether or not a driver follows it."""

import functools
import logging
import threading
import time
from typing import NamedTuple

import ray

from ramet.engine.processes.reports import Report
from ramet.engine.processes.watchman import Watchman, disown_all
from ramet.engine.run.run import Run
from ramet.engine.training import this_worker
from ramet.ray.cluster import find_home
from ramet.ray.crew import Crew, Plan
from ramet.ray.needs import check_reach
from ramet.ray.packing import unpack

logger = logging.getLogger("ramet")

# Time between two checks of the workers.
LOOK_S = 0.1
# How long the outcome can be read: by a driver that is busy, and by others once one has read it.
LINGER_S, READ_LINGER_S = 600.0, 2.0


class Outcome(NamedTuple):
    """How the workers of a run ended."""

    # The error that ended them early.
    report: Report | None = None
    # Whether a driver stopped them.
    stopped: bool = False


class Standing(NamedTuple):
    """What a keeper says of itself and its workers."""

    plan: Plan
    # None while the workers are at work.
    outcome: Outcome | None = None
    # Whether no worker has begun.
    starting: bool = False


class StopAskedFor(Exception):
    """A driver wants the workers to end."""


class Keeper:
    """What runs in the actor."""

    def __init__(self, plan: Plan, *chunks: bytes) -> None:
        self._plan, self._packed = plan, b"".join(chunks)
        self._outcome: Outcome | None = None
        self._stopping = self._starting = False
        # Set when a driver has read the outcome.
        self._read = threading.Event()
        self._self = ray.get_runtime_context().current_actor
        threading.Thread(target=self._keep, name="ramet-keeper", daemon=True).start()

    def standing(self) -> Standing:
        """Return how the workers are doing."""
        standing = Standing(self._plan, self._outcome, self._starting)
        if standing.outcome is not None:
            self._read.set()
        return standing

    def stop(self) -> None:
        """Ask for the end of the workers."""
        self._stopping = True

    def _keep(self) -> None:
        """Keep the workers, and end this actor behind them."""
        try:
            self._train()
            self._outcome = Outcome()
        except StopAskedFor:
            self._outcome = Outcome(stopped=True)
        except BaseException as error:  # noqa: BLE001 - a driver raises it, traceback and all
            self._outcome = Outcome(Report.of(error))
        if self._read.wait(LINGER_S):
            time.sleep(READ_LINGER_S)
        elif self._outcome.report is not None:
            logger.error("%s\n%s", self._outcome.report.message, self._outcome.report.traceback)
        ray.kill(self._self)

    def _train(self) -> None:
        job = unpack(self._packed, train=False)
        check_reach(job.store, home=self._plan.home, addresses=[find_home()])
        run = Run(
            job.settings,
            job.failures,
            store=job.store,
            blobs=job.blobs,
            worker=this_worker(),
            existing="join",
        )
        crew = Crew(self._plan, self._packed, name=run.worker)
        try:
            look = functools.partial(self._look, crew)
            Watchman(run, workers=self._plan.workers).keep(crew, look, every_s=LOOK_S)
        finally:
            disown_all(run, map(crew.worker, range(self._plan.workers)))

    def _look(self, crew: Crew, _: Run) -> None:
        self._starting = crew.is_starting()
        if self._stopping:
            raise StopAskedFor

"""The actor that keeps the workers of a run, whether or not a driver follows it."""

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
# How long the outcome can be read.
LINGER_S = 2.0


class Outcome(NamedTuple):
    """How the workers of a run ended."""

    # The error that ended them early.
    report: Report | None = None
    # Whether a driver stopped them.
    stopped: bool = False


class Standing(NamedTuple):
    """What a keeper says of itself to a driver that finds it."""

    plan: Plan
    outcome: Outcome | None


class StopAskedFor(Exception):
    """A driver wants the workers to end."""


class Keeper:
    """What runs in the actor."""

    def __init__(self, plan: Plan, *chunks: bytes) -> None:
        self._plan, self._packed = plan, b"".join(chunks)
        self._outcome: Outcome | None = None
        self._stopping = False
        # Whether a driver has read the outcome.
        self._read = False
        self._self = ray.get_runtime_context().current_actor
        threading.Thread(target=self._keep, name="ramet-keeper", daemon=True).start()

    def introduce(self) -> Standing:
        """Return what this keeper keeps."""
        return Standing(self._plan, self._outcome)

    def outcome(self) -> Outcome | None:
        """Return how the workers ended; None while they are at work."""
        self._read = self._outcome is not None
        return self._outcome

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
        time.sleep(LINGER_S)
        if self._outcome.report is not None and not self._read:
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
            Watchman(run, workers=self._plan.workers).keep(crew, self._look, every_s=LOOK_S)
        finally:
            disown_all(run, map(crew.worker, range(self._plan.workers)))

    def _look(self, _: Run) -> None:
        if self._stopping:
            raise StopAskedFor

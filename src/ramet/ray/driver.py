"""The call that trains on Ray: it starts the workers, or finds them, and follows the run."""

import logging
import time
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ramet.digest import digest
from ramet.engine.processes.reports import WorkerTraceback, as_raised
from ramet.engine.run.checkpoints import identify
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import RametError, RunFailed
from ramet.ray.cluster import list_nodes
from ramet.ray.crew import GRACE_S, Plan
from ramet.ray.keeper import Keeper, Outcome, Standing
from ramet.store import Store
from ramet.wording import count

logger = logging.getLogger("ramet")

# Where Ray keeps the names of keepers.
NAMESPACE = "ramet"
# Time between two looks at the run.
LOOK_S = 0.1
# Time that the workers have to end on an interrupt.
STOP_S = 2 * GRACE_S
# Ray keeps arguments of up to 100 KB with the actor; larger ones end with the driver.
CHUNK = 64 * 1024
# Keepers that may end without an outcome, one after the other.
MOST_LOST = 5
GOES_ON = (
    "The workers on Ray go on. The same call follows the run again; there, Ctrl-C stops the workers"
)


class Driver:
    """Follows a run that actors train."""

    def __init__(self, run: Run, store: Store, plan: Plan, packed: bytes) -> None:
        self._run, self._plan, self._packed = run, plan, packed
        # A copy of a store has runs of the same identity.
        self._name = digest([f"{store!r}\n{identify(store, run.name)}".encode()])

    def follow(self, watch: Watch) -> None:
        """Follow the run until it is over; start its workers unless they are at work already."""
        lost = 0
        while not self._run.over:
            keeper = self._find_or_start()
            try:
                if self._is_at_work(keeper):
                    self._check(self._await_outcome(keeper, watch))
            except KeyboardInterrupt:
                _stop(keeper)
                raise
            except ActorUnavailableError:  # It starts again.
                time.sleep(LOOK_S)
            except ActorDiedError as error:
                lost += 1
                if lost == MOST_LOST:
                    raise RunFailed(
                        f"the actor that keeps the workers must live as long as they do, but it "
                        f"ended {lost} times: {error}"
                    ) from error
                time.sleep(LOOK_S)
        watch(self._run)

    def _find_or_start(self) -> Any:
        """Return the actor that keeps the workers; a new one starts them at once."""
        heads = [node.id for node in list_nodes() if node.is_head]
        # The cluster ends with its head, so that there is no better node.
        strategy = NodeAffinitySchedulingStrategy(heads[0], soft=True) if heads else "DEFAULT"
        chunks = [self._packed[at : at + CHUNK] for at in range(0, len(self._packed), CHUNK)]
        options = ray.remote(Keeper).options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
            scheduling_strategy=strategy,
        )
        return options.remote(self._plan, *chunks)

    def _is_at_work(self, keeper: Any) -> bool:
        """Say whether the workers are at work, and those of which call; forget those that ended."""
        standing: Standing = ray.get(keeper.introduce.remote())
        if standing.outcome is not None:
            ray.kill(keeper)
            time.sleep(LOOK_S)
            return False
        if standing.plan.token != self._plan.token:
            self._say_found(standing.plan)
        return True

    def _await_outcome(self, keeper: Any, watch: Watch) -> Outcome:
        """Show how the run is doing until its workers have ended."""
        outcome: Outcome | None = None
        try:
            while outcome is None:
                time.sleep(LOOK_S)
                outcome = ray.get(keeper.outcome.remote())
                if not self._run.over:
                    watch(self._run)
        except RametError as error:
            error.add_note(GOES_ON)
            raise
        return outcome

    def _check(self, outcome: Outcome) -> None:
        """Raise the error that ended the workers, if one did."""
        if outcome.report is not None:
            trace = WorkerTraceback(outcome.report.traceback)
            raise as_raised(outcome.report) from trace
        if outcome.stopped:
            raise RunFailed(
                f"run {self._run.name!r} must go on while it is followed, but another call on "
                f"this Ray cluster was interrupted, and stopped its workers; run this one again "
                f"to go on"
            )

    def _say_found(self, found: Plan) -> None:
        fields = {"run": self._run.name, "workers": found.workers}
        changed = (
            "; they train the code of that call, which is not the same: to train the present code, "
            "stop them with Ctrl-C, and run again"
        )
        logger.warning(
            "run %(run)r is at work on Ray: this call follows %(crew)s that another call has "  # noqa: G004 - one of two texts
            f"started{changed if found.code != self._plan.code else ''}",
            {**fields, "crew": count(found.workers, "worker")},
            extra=fields,
        )


def _stop(keeper: Any) -> None:
    """End the workers, and give back their turns."""
    if not _stops(keeper):
        # Its workers end with it, and their leases run out.
        ray.kill(keeper)


def _stops(keeper: Any) -> bool:
    """Ask for the end of the workers; return whether they have ended in time."""
    until = time.monotonic() + STOP_S
    try:
        ray.get(keeper.stop.remote(), timeout=STOP_S)
        while ray.get(keeper.outcome.remote(), timeout=STOP_S) is None:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_S)
    except (RayActorError, TimeoutError):
        return False
    return True

"""The call that trains on Ray: it starts the workers, or finds them, and follows the run."""

import logging
import time
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError

from ramet.clock import Clock, SystemClock
from ramet.digest import digest
from ramet.engine.processes.reports import raise_report
from ramet.engine.run.checkpoints import identify
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import RametError, RunFailed
from ramet.ray.cluster import count_free, list_nodes
from ramet.ray.crew import GRACE_S, Plan
from ramet.ray.keeper import Keeper, Outcome, Standing
from ramet.ray.needs import AS_GOOD_AS_NOTHING, HEAD, say_amounts
from ramet.reminders import Wait
from ramet.store import Store
from ramet.wording import count

logger = logging.getLogger("ramet")

# Where Ray keeps the names of keepers.
NAMESPACE = "ramet"
# Time in which nothing comes of the workers before the first warning.
FIRST_SAID_S = 10.0
# Time between two looks at the run.
LOOK_S = 0.1
# Time that the workers have to end on an interrupt.
STOP_S = 2 * GRACE_S
# Ray keeps arguments of up to 100 KB with the actor; larger ones end with the driver.
CHUNK = 64 * 1024
# Keepers that may end without an outcome, with no turn ended between them.
MOST_LOST = 5
GOES_ON = (
    "The workers on Ray go on. The same call follows the run again; there, Ctrl-C stops the workers"
)


class Driver:
    """Follows a run that actors train."""

    def __init__(
        self, run: Run, store: Store, plan: Plan, packed: bytes, *, clock: Clock | None = None
    ) -> None:
        self._run, self._plan, self._packed = run, plan, packed
        self._clock = clock or SystemClock()
        self._start, self._answer = (Wait(self._clock, FIRST_SAID_S) for _ in range(2))
        # The calls that started the workers that this one has followed.
        self._followed = {plan.token}
        # Keepers lost since the last turn that ended, and the number of turns at that time.
        self._lost, self._turns = 0, 0
        # A copy of a store has runs of the same identity.
        self._name = digest([f"{store!r}\n{identify(store, run.name)}".encode()])

    def follow(self, watch: Watch) -> None:
        """Follow the run until it is over; start its workers unless they are at work already."""
        while not self._run.over:
            keeper = self._find_or_start()
            try:
                self._follow(keeper, watch)
            except KeyboardInterrupt:
                _stop(keeper)
                raise
            except ActorUnavailableError as error:  # It starts again.
                self._say_unavailable(error)
                self._clock.sleep(LOOK_S)
            except ActorDiedError as error:
                self._count_loss(error)
                self._clock.sleep(LOOK_S)
        watch(self._run)

    def _follow(self, keeper: Any, watch: Watch) -> None:
        """Follow the workers that an actor keeps until they have ended."""
        standing = self._ask(keeper)
        if standing.plan.token not in self._followed:
            if standing.outcome is not None:
                # They ended before this call, which is to start others.
                self._dismiss(keeper, standing.outcome)
                return
            self._followed.add(standing.plan.token)
            self._say_found(standing.plan)
        self._check(self._await_outcome(keeper, standing, watch))

    def _find_or_start(self) -> Any:
        """Return the actor that keeps the workers; a new one starts them at once."""
        # The cluster ends with its head, so that there is no better node. Ray often ignores a
        # scheduling strategy that prefers a node without CPUs; it does not ignore what is needed.
        on_head = {HEAD: AS_GOOD_AS_NOTHING} if any(node.is_head for node in list_nodes()) else {}
        chunks = [self._packed[at : at + CHUNK] for at in range(0, len(self._packed), CHUNK)]
        options = ray.remote(Keeper).options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
            resources=on_head,
        )
        return options.remote(self._plan, *chunks)

    def _ask(self, keeper: Any) -> Standing:
        """Return how the workers are doing; warn if none has begun for long."""
        standing: Standing = ray.get(keeper.standing.remote())
        self._answer.end()
        if not standing.starting:
            self._start.end()
        elif waited_s := self._start.go_on():
            self._say_starting(standing.plan, waited_s)
        return standing

    def _dismiss(self, keeper: Any, outcome: Outcome) -> None:
        """End an actor after its workers, and log their error. No call may have read it."""
        if outcome.report is not None:
            fields = {"run": self._run.name, "error": outcome.report.message}
            logger.warning(
                "the workers of run %(run)r that another call started on Ray ended with an error: "
                "%(error)s. This call starts others",
                fields,
                extra=fields,
            )
        ray.kill(keeper)
        self._clock.sleep(LOOK_S)

    def _await_outcome(self, keeper: Any, standing: Standing, watch: Watch) -> Outcome:
        """Show how the run is doing until its workers have ended."""
        try:
            while standing.outcome is None:
                self._clock.sleep(LOOK_S)
                standing = self._ask(keeper)
                if not self._run.over:
                    watch(self._run)
        except RametError as error:
            error.add_note(GOES_ON)
            raise
        return standing.outcome

    def _count_loss(self, error: ActorDiedError) -> None:
        """Give up if one actor after the other is lost before any turn has ended."""
        turns = self._run.population.turns
        self._lost = self._lost + 1 if turns == self._turns else 1
        self._turns = turns
        if self._lost == MOST_LOST:
            raise RunFailed(
                f"the actor that keeps the workers must live to see a turn end, but {self._lost} "
                f"in a row did not: {error}"
            ) from error

    def _check(self, outcome: Outcome) -> None:
        """Raise the error that ended the workers, if one did."""
        if outcome.report is not None:
            raise_report(outcome.report)
        if outcome.stopped:
            raise RunFailed(
                f"run {self._run.name!r} must go on while it is followed, but another call on "
                f"this Ray cluster was interrupted, and stopped its workers; run this one again "
                f"to go on"
            )

    def _say_unavailable(self, error: ActorUnavailableError) -> None:
        if waited_s := self._answer.go_on():
            fields = {"run": self._run.name, "waited_s": waited_s, "error": str(error)}
            logger.warning(
                "the actor that keeps the workers of run %(run)r on Ray has not answered for "
                "%(waited_s).0f s: %(error)s. Ray starts it again when it can, and this call waits",
                fields,
                extra=fields,
            )

    def _say_starting(self, plan: Plan, waited_s: float) -> None:
        fields = {
            "run": self._run.name,
            "waited_s": waited_s,
            "needs": say_amounts(plan.needs),
            "free": say_amounts(count_free(plan.needs)),
        }
        logger.warning(
            "no worker of run %(run)r has begun on Ray, after %(waited_s).0f s: each needs "
            "%(needs)s on one node, and of this, all nodes together have %(free)s free. The call "
            "waits until others leave more, nodes are added, or Ray has prepared a worker",
            fields,
            extra=fields,
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
        while ray.get(keeper.standing.remote(), timeout=STOP_S).outcome is None:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_S)
    except (RayActorError, TimeoutError):
        return False
    return True

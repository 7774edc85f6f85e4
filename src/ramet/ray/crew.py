"""The workers of a run on Ray: start and stop them, and say what became of those that ended."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import ray
from ray.exceptions import ActorUnavailableError, RayError

from ramet.engine.processes.reports import Report
from ramet.engine.processes.watchman import Ended
from ramet.process import SystemProcesses
from ramet.ray.cluster import answers
from ramet.ray.needs import Needs
from ramet.ray.worker import Worker

# Time that Ray has to end the workers that it was asked to end.
GRACE_S = 10.0
# Time in which a machine that is lost, or is shut down, follows the workers that died on it.
FALL_S = 2.0
# What Ray's reason begins with, and where it goes on with guesses that fit any death.
BEGINS, GUESSES = "The actor is dead because ", " Some common causes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many workers a run has on Ray, and what each is given."""

    # Names the call that made it.
    token: str
    workers: int
    # What Ray reserves for each worker.
    needs: Needs
    # Ray's options of each worker.
    options: dict[str, Any]
    # The address of the machine that the driver is on.
    home: str
    # The fingerprint of the code that they train.
    code: str | None


class Hired(NamedTuple):
    """An actor, and what it will answer."""

    actor: Any
    # The node that it is on, once it is on one.
    node: Any
    # How it ended, once it has.
    report: Any


class Fallen(NamedTuple):
    """A worker that died."""

    # Why, as Ray says it.
    why: str
    # Its node; None if it was on none yet.
    node: str | None
    # When it is taken for certain that its machine is not lost with it, by the monotonic clock.
    certain_at: float


class Crew:
    """The workers of a run; they end with the ``with`` block."""

    def __init__(self, plan: Plan, packed: bytes, *, name: str) -> None:
        self._plan, self._name = plan, name
        self._packed = ray.put(packed)
        self._kind = ray.remote(Worker).options(**plan.options)
        self._watcher = SystemProcesses().this()
        self._hired: dict[int, Hired] = {}
        # Those that died a moment ago, until it is known whether their machines are lost too.
        self._fallen: dict[int, Fallen] = {}
        # The number of workers started in each place so far.
        self._started: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._hired) + len(self._fallen)

    def worker(self, place: int) -> str:
        """Return the name of the current worker in a place."""
        return f"{self._name}-{place}.{self._started[place]}"

    def start_all(self) -> None:
        """Start a worker in each place; they wait until the cluster has room for them."""
        for place in range(self._plan.workers):
            self.start(place)

    def start(self, place: int) -> None:
        """Start a worker in its place."""
        self._started[place] += 1
        actor = self._kind.remote()
        # An actor does one thing after the other, and says nothing while it trains.
        node = actor.find_node.remote()
        report = actor.train.remote(
            self._packed, worker=self.worker(place), watcher=self._watcher, home=self._plan.home
        )
        self._hired[place] = Hired(actor, node, report)

    def reap(self) -> Iterator[Ended]:
        """Yield each worker that ended since the last call.

        One that died is yielded a moment later, when it is known whether its machine is lost too.
        """
        places = {hired.report: place for place, hired in self._hired.items()}
        ended, _ = (
            ray.wait(list(places), num_returns=len(places), timeout=0) if places else ([], [])
        )
        for reference in ended:
            place = places[reference]
            if (done := self._dismiss(place, self._hired.pop(place))) is not None:
                yield done
        for place, fallen in list(self._fallen.items()):
            lost = fallen.node is not None and not answers(fallen.node)
            if lost or fallen.node is None or time.monotonic() > fallen.certain_at:
                del self._fallen[place]
                how = f"{'was lost with its machine' if lost else 'died'}: {fallen.why}"
                yield Ended(place, self.worker(place), how, machine=lost)

    def is_starting(self) -> bool:
        """Return whether no worker has begun: Ray has no place for one, or still prepares it."""
        nodes = [hired.node for hired in self._hired.values()]
        return bool(nodes) and not ray.wait(nodes, num_returns=1, timeout=0)[0]

    def stop(self) -> None:
        """End all workers, and wait until they are dead."""
        for hired in self._hired.values():
            ray.kill(hired.actor)
        reports = [hired.report for hired in self._hired.values()]
        if reports:
            ray.wait(reports, num_returns=len(reports), timeout=GRACE_S)
        self._hired.clear()
        self._fallen.clear()

    def _dismiss(self, place: int, hired: Hired) -> Ended | None:
        """Return how a worker ended, or None if it died."""
        try:
            report: Report = ray.get(hired.report)
        except RayError as error:
            # It may live on a node that cannot be reached; its commits are refused from now on.
            ray.kill(hired.actor)
            why = _say_why(error)
            if isinstance(error, ActorUnavailableError):
                how = f"was lost with its machine: {why}"
                return Ended(place, self.worker(place), how, machine=True)
            self._fallen[place] = Fallen(why, _find_node(hired), time.monotonic() + FALL_S)
            return None
        ray.kill(hired.actor)
        return Ended(place, self.worker(place), "ended", report)


def _find_node(hired: Hired) -> str | None:
    """Return the node that a worker was on."""
    try:
        # Ray sends so small an answer to the process that asked: a lost node does not lose it.
        node: str = ray.get(hired.node, timeout=0)
    except (RayError, TimeoutError):
        return None
    return node


def _say_why(error: RayError) -> str:
    """Return why a worker died, by the line in which Ray says it."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip().removeprefix(BEGINS).partition(GUESSES)[0].rstrip(".")

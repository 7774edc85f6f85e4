"""The subject of a report: a run, and what several sections read from it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ramet import wording
from ramet.errors import NoBest, UsageError
from ramet.events import RunOpened
from ramet.history import Lineage, Replayed, Result, Snapshot, Trained
from ramet.history.ancestry import Payoff, payoffs
from ramet.history.following import State, state_of
from ramet.history.metrics import metric_names
from ramet.history.records import Effect
from ramet.history.replayed import replays
from ramet.history.reported import sign_of
from ramet.history.verdict import Verdict
from ramet.places import file_of
from ramet.plots.shifts import Pause, Stints, first_wait_s, stints_of
from ramet.plots.story import behind_best
from ramet.population import Population
from ramet.schedule import Schedule
from ramet.strategies.controlled import find_control


class Subject:
    """A run, read once. Scores are as they were reported; of gains, positive ones are better."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.opening: RunOpened = result.opening
        self.population: Population = result.population
        self.lineage: Lineage = result.lineage()
        self.sign = sign_of(result.opening.mode)
        self.names: list[str] = list(result.opening.space["names"])

    @cached_property
    def metrics(self) -> list[str]:
        """The names of the metrics that training loops logged."""
        return metric_names(self.result.account.measured)

    @property
    def name(self) -> str:
        return self.opening.name

    @property
    def better(self) -> str:
        return "higher is better" if self.sign > 0 else "lower is better"

    @cached_property
    def state(self) -> State:
        return state_of(self.population, self.result.store.seats(self.name))

    @property
    def done(self) -> float:
        """The fraction of the members' budgets that is used."""
        trained = sum(member.trained for member in self.population)
        return trained / (self.population.steps * len(self.population))

    @property
    def failing(self) -> bool:
        """Whether attempts failed that the run has not got over."""
        over = self.population.done or self.population.stopped
        return not over and any(it.failing or it.attempts for it in self.population)

    @property
    def best(self) -> Snapshot | None:
        return self.result.best if self.population.best else None

    @property
    def final(self) -> Snapshot | None:
        """The best of the members at the end; None if none has a finite score."""
        try:
            return self.result.final
        except NoBest:
            return None

    @property
    def start(self) -> float | None:
        """The first finite score behind the best weights, if it is not the best itself."""
        scores = [score for turn in self.behind for _, score in turn.points if score is not None]
        return scores[0] if len(scores) > 1 else None

    def find_better(self, within: Iterable[tuple[int, float]]) -> float | None:
        """Return the best of scores within turns, if it is better than the best of the run.

        Only scores of members that are ranked are compared, such as no evaluator of FIRE is. Where
        the best is not simply the best score, there is none.

        Args:
            within: Members, each with a score that it reported before its turn ended.
        """
        best = self.best
        if best is None or best.confirmed is not None or self.opening.goals:
            return None
        births = self.opening.births
        there = [self.sign * score for member, score in within if births[member].ranked]
        highest = max(there, default=-math.inf)
        return self.sign * highest if highest > self.sign * best.score else None

    @cached_property
    def verdict(self) -> Verdict | str | None:
        """How the search compares with its control, or why it cannot be said; None without one."""
        if find_control(self.opening) is None or not (
            self.population.done or self.population.stopped
        ):
            return None
        try:
            return self.result.verdict()
        except (NoBest, UsageError) as error:
            return str(error)

    @property
    def behind(self) -> list[Trained]:
        """The turns behind the best weights."""
        return behind_best(self.result)

    @cached_property
    def schedule(self) -> Schedule | None:
        return self.result.schedule() if self.population.best else None

    @cached_property
    def effects(self) -> list[Effect]:
        return list(self.lineage.effects())

    @property
    def payoffs(self) -> list[Payoff]:
        return payoffs(self.effects, self.names)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size in bytes of each checkpoint that is kept."""
        return self.result.blobs.sizes(self.name)

    @property
    def began(self) -> float:
        """Seconds since the epoch."""
        return self.result.account.began

    @property
    def last(self) -> float:
        """When the last event was written, by its writer's clock; seconds since the epoch."""
        return max(self.began, self.result.account.ended)

    @cached_property
    def stints(self) -> Stints:
        """All attempts at turns, as their workers saw them."""
        return self._stints_and_pauses[0]

    @cached_property
    def paused_s(self) -> float:
        """How long no worker trained, in pauses and before the first turn; in seconds."""
        _, pauses = self._stints_and_pauses
        return first_wait_s(self.result) + sum(pause.length for pause in pauses)

    @property
    def worked_s(self) -> float:
        """How many seconds the run took, without the pauses."""
        return max(0.0, self.last - self.began - self.paused_s)

    @cached_property
    def replays(self) -> list[Replayed]:
        return replays(self.result)

    @cached_property
    def _stints_and_pauses(self) -> tuple[Stints, list[Pause]]:
        return stints_of(self.result)

    @property
    def file(self) -> str | None:
        """The name of the store's file; None if the run is in memory."""
        file = file_of(self.result.store)
        return file.name if file else None

    @property
    def opened(self) -> str:
        """The Python expression that opens the run."""
        return f"ramet.history.load({self.file!r}, {self.name!r})"

    def command(self, *words: str) -> str:
        """Return a command on the run, quoted for a shell; the run must be in a file.

        Args:
            words: The verb, what follows the name of the run, and then the options.
        """
        verb, *more = words
        first = next((nth for nth, word in enumerate(more) if word.startswith("-")), len(more))
        named, options = [str(self.file), self.name, *more[:first]], more[first:]
        return wording.command(verb, named, options)


def moment(seconds: float) -> str:
    """Return a time as text.

    >>> moment(0)
    '1970-01-01 00:00:00 UTC'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# Stands in commands for the script of the run, which the record does not name.
SCRIPT = "YOUR_SCRIPT.py"
# Items of a list that are shown.
LISTED = 8


def describe(description: Any) -> str:
    """Return the description of a setting as code that would make it, without what is None.

    >>> describe({"type": "PBT", "turn_steps": 5, "explore": {"type": "Resample", "p": 0.2}})
    'PBT(turn_steps=5, explore=Resample(p=0.2))'
    """
    match description:
        case {"code": str(name)}:
            return name
        case {"type": str(kind), **settings}:
            return f"{kind}({', '.join(_settings(settings))})"
        case dict():
            return f"{{{', '.join(f'{key!r}: {describe(it)}' for key, it in description.items())}}}"
        case list() | tuple():
            more = [f"… {len(description) - LISTED} more"] if len(description) > LISTED else []
            return f"({', '.join([*map(describe, description[:LISTED]), *more])})"
        case _:
            return repr(description)


def _settings(settings: Mapping[Any, Any]) -> Iterator[str]:
    return (
        f"{key}={describe(value)}" for key, value in settings.items() if value not in (None, [], ())
    )

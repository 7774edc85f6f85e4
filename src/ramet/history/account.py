"""What reports need from a log besides its lineage, a few bytes for each turn."""

import math
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ramet.events import AttemptFailed, CheckpointLost, LeftUnread, Logged, TurnEnded, TurnLost


class Attempt(NamedTuple):
    """A turn that ended, or a failed attempt at one."""

    worker: str
    # Seconds since the epoch at which it ended.
    at: float
    took_s: float | None
    member: int
    turn: int
    failed: bool


class Attempts:
    """All attempts in the order of the log, kept in columns."""

    def __init__(self) -> None:
        self._workers: dict[str, int] = {}
        self._who, self._at, self._took = array("q"), array("d"), array("d")
        self._member, self._turn, self._failed = array("q"), array("q"), bytearray()

    def __len__(self) -> int:
        return len(self._who)

    def __iter__(self) -> Iterator[Attempt]:
        names = list(self._workers)
        columns = self._who, self._at, self._took, self._member, self._turn, self._failed
        for who, at, took, member, turn, failed in zip(*columns, strict=True):
            took_s = None if math.isnan(took) else took
            yield Attempt(names[who], at, took_s, member, turn, bool(failed))

    @property
    def trained_s(self) -> float:
        """How long all attempts took together, of those with a known time."""
        return sum(took for took in self._took if not math.isnan(took))

    def find_durations(self, keys: Collection[tuple[int, int]]) -> Iterator[float]:
        """Yield how long each of these turns took, if it ended; 0 if that is unknown."""
        columns = self._member, self._turn, self._took, self._failed
        for member, turn, took, failed in zip(*columns, strict=True):
            if not failed and (member, turn) in keys:
                yield 0.0 if math.isnan(took) else took

    def add(self, logged: Logged, event: TurnEnded | AttemptFailed) -> None:
        """Add an attempt from the log."""
        self._who.append(self._workers.setdefault(logged.worker, len(self._workers)))
        self._at.append(logged.at)
        self._took.append(math.nan if logged.took_s is None else logged.took_s)
        self._member.append(event.member)
        self._turn.append(event.turn)
        self._failed.append(type(event) is AttemptFailed)


class Account:
    """What reports need from a log, which need not be kept."""

    def __init__(self, log: Iterable[Logged] = ()) -> None:
        # The number of events.
        self.events = 0
        # When the first and the last were written, in seconds since the epoch.
        self.began = self.ended = math.nan
        self.attempts = Attempts()
        # Events about failures.
        self.wrong: list[Logged] = []
        # Turns that logged metrics.
        self.measured: list[TurnEnded] = []
        self.read(log)

    def read(self, log: Iterable[Logged]) -> None:
        """Add new events of the log."""
        for logged in log:
            event = logged.event
            if not self.events:
                self.began = logged.at
            self.events += 1
            self.ended = logged.at
            if isinstance(event, TurnEnded | AttemptFailed):
                self.attempts.add(logged, event)
            if isinstance(event, TurnEnded):
                if event.metrics:
                    self.measured.append(event)
            elif isinstance(event, AttemptFailed | TurnLost | CheckpointLost | LeftUnread):
                self.wrong.append(logged)

"""What reports need from a log besides its lineage, a few bytes for each turn."""

import math
from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.events import AttemptFailed, CheckpointLost, LeftUnread, Logged, TurnEnded, TurnLost

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Columns(NamedTuple):
    """Turns that ended and attempts that failed, an array for each field."""

    # The workers' names, by the numbers in ``worker``.
    workers: list[str]
    worker: Ints
    # Seconds since the epoch at which each ended.
    at: Floats
    # NaN where it is not known.
    took_s: Floats
    member: Ints
    turn: Ints
    failed: Flags


class Attempts:
    """All attempts in the order of the log, kept in columns."""

    def __init__(self) -> None:
        self._workers: dict[str, int] = {}
        self._who, self._at, self._took = array("q"), array("d"), array("d")
        self._member, self._turn, self._failed = array("q"), array("q"), bytearray()

    def __len__(self) -> int:
        return len(self._who)

    def columns(self) -> Columns:
        """Return all attempts as arrays."""
        return Columns(
            workers=list(self._workers),
            worker=np.array(self._who, np.intp),
            at=np.array(self._at),
            took_s=np.array(self._took),
            member=np.array(self._member, np.intp),
            turn=np.array(self._turn, np.intp),
            failed=np.array(self._failed, np.bool_),
        )

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

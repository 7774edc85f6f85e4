"""What a report says of a log besides its lineage: little of each turn, in columns."""

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
    """All attempts in the order of the log, each in a few bytes."""

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
        """How long all of them took, as far as is known."""
        return sum(took for took in self._took if not math.isnan(took))

    def ended(self, keys: Collection[tuple[int, int]]) -> Iterator[float]:
        """Yield how long each of some members' turns took, of those that ended; 0 is unknown."""
        columns = self._member, self._turn, self._took, self._failed
        for member, turn, took, failed in zip(*columns, strict=True):
            if not failed and (member, turn) in keys:
                yield 0.0 if math.isnan(took) else took

    def add(self, logged: Logged, event: TurnEnded | AttemptFailed) -> None:
        """Take in an attempt that a log tells of."""
        self._who.append(self._workers.setdefault(logged.worker, len(self._workers)))
        self._at.append(logged.at)
        self._took.append(math.nan if logged.took_s is None else logged.took_s)
        self._member.append(event.member)
        self._turn.append(event.turn)
        self._failed.append(type(event) is AttemptFailed)


class Account:
    """What a log tells of, without the log."""

    def __init__(self, log: Iterable[Logged] = ()) -> None:
        # How many there are.
        self.events = 0
        # When the first and the last were written, in seconds since the epoch.
        self.began = self.ended = math.nan
        self.attempts = Attempts()
        # What went wrong.
        self.wrong: list[Logged] = []
        # The turns that logged metrics.
        self.measured: list[TurnEnded] = []
        self.read(log)

    def read(self, log: Iterable[Logged]) -> None:
        """Take in what is new of the log."""
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

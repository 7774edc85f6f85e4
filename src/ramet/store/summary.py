"""What a store keeps of a run's population, so that looking at it reads little of a long log."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ramet.errors import CorruptLog, RametError
from ramet.events import Copied, Logged, follow
from ramet.population import Curve, Population
from ramet.replica import Replica
from ramet.space import Space

# A summary is due after so many events, and in a large population after so many for each member.
EVERY, EVERY_PER_MEMBER = 1_000, 4
# How many times as many one commit reads, in a store without summaries that has a long log.
CATCH_UP = 4


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A population as the events up to a number left it, without curves and strategies' notes.

    It is computed from the log alone. Without a summary, a run only takes longer to read.
    """

    # Of the last event that it includes.
    last: int
    population: Population
    # The copies that each member made.
    copies: dict[int, int]


def due(summary: Summary | None, head: int) -> int:
    """Return how many events a new summary reads on; 0 if it is not time for one yet."""
    last, members = (-1, 0) if summary is None else (summary.last, len(summary.population))
    interval = max(EVERY, EVERY_PER_MEMBER * members)
    return 0 if head - last < interval else CATCH_UP * interval


class Tally:
    """Reads a log on from a summary, and sums it up; it takes no more memory for a longer log."""

    def __init__(self, run: str, summary: Summary | None = None) -> None:
        self._run = run
        self.copies: Counter[int] = Counter()
        self._replica = Replica()
        if summary is not None:
            self.copies.update(summary.copies)
            self._replica.become(summary.population)
            self._replica.last = summary.last

    @property
    def last(self) -> int:
        """The number of the last event that was read; -1 before the first."""
        return self._replica.last

    @property
    def population(self) -> Population:
        """The population. Curves and strategies' notes lack what was read earlier."""
        return self._replica.population

    def read(self, news: Sequence[Logged]) -> None:
        """Read the events behind the last."""
        # An interrupt in the midst must not have part of it read twice.
        copies = self.copies.copy()
        with self._replica.attempt() as attempt:
            follow(news, self._replica, self._run)
            attempt.keep()
        copies.update(logged.event.member for logged in news if isinstance(logged.event, Copied))
        self.copies = copies
        self._trim()

    def summary(self) -> Summary:
        """Return what was read."""
        return Summary(last=self.last, population=self.population, copies=dict(self.copies))

    def _trim(self) -> None:
        """Drop what grows with the log."""
        for member in self._replica.members:
            if len(member.curve) or member.data is not None:
                self._replica.change(member.id, curve=Curve(), inherited=0, data=None)
        if not self._replica.empty:
            self._replica.put(data=None)


def summed_up(summary: Summary | None, news: Sequence[Logged], run: str) -> Summary:
    """Return the summary that events lead to, from nothing or from an earlier one."""
    tally = Tally(run, summary)
    for first in range(0, len(news), EVERY):
        tally.read(news[first : first + EVERY])
    return tally.summary()


def encode(summary: Summary) -> bytes:
    """Return a summary as bytes."""
    return _encoder.encode(summary)


def decode(data: bytes) -> Summary:
    """Read a summary back, or raise CorruptLog."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, RametError) as error:
        raise CorruptLog(f"a summary must be as it was written, but {error}") from error


def _described(what: Any) -> Any:
    if isinstance(what, Space):
        return what.describe()
    raise NotImplementedError(f"a summary holds no {type(what).__name__}")


def _read_back(kind: type, what: Any) -> Any:
    if kind is Space:
        return Space.from_description(what)
    raise NotImplementedError(f"a summary holds no {kind.__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_described)
_decoder: msgspec.json.Decoder[Summary] = msgspec.json.Decoder(Summary, dec_hook=_read_back)

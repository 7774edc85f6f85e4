"""The leases of the turns that a worker trains: renewed while it lives, released when it stops."""

import contextlib
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterator

from ramet.clock import Clock
from ramet.engine.run.turn import Turn
from ramet.errors import LeaseLost, StoreBusy, TurnMisused
from ramet.store.base import Lease, Store

logger = logging.getLogger("ramet")

# Times that a lease is renewed before it would run out.
BEATS = 3
# A worker that is certainly dead but cannot be seen to be, as in another container, keeps its
# member for at most 2 ** 6 leases.
MOST_DOUBLINGS = 6


def lasting_s(ttl_s: float, *, lost: int) -> float:
    """Return how long a lease lasts: twice as long after each loss in the same turn.

    >>> [lasting_s(60.0, lost=lost) for lost in (0, 1, 2, 6, 7)]
    [60.0, 120.0, 240.0, 3840.0, 3840.0]
    """
    return ttl_s * 2.0 ** min(lost, MOST_DOUBLINGS)


def say_taken_over(lease: Lease, *, turn: int, ttl_s: float) -> None:
    """Warn that a member is taken from a worker that fell silent."""
    fields = {
        "run": lease.run,
        "worker": lease.worker,
        "member": lease.member,
        "turn": turn,
        "silent_s": lease.silent_s,
        "lost": lease.lost,
        "lasts_s": lasting_s(ttl_s, lost=lease.lost),
        "ttl_s": ttl_s,
    }
    logger.warning(
        "the worker that trained turn %(turn)d of member %(member)d of run %(run)r sent no sign of "
        "life for %(silent_s).1f s. Worker %(worker)r trains the turn again and holds it for "
        "%(lasts_s)g s (leases lost in this turn: %(lost)d). If the silent worker is alive, raise "
        "lease_ttl_s=%(ttl_s)g above the longest call that holds Python's lock (GIL)",
        fields,
        extra=fields,
    )


class Heartbeat:
    """Beats every so many seconds until a beat says that there is nothing to beat for."""

    def __init__(self, beat: Callable[[], bool], *, every_s: float) -> None:
        self._beat, self._every_s = beat, every_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Whether there may be something that the last beat did not see.
        self._started = False
        # A queue may be put into while garbage is collected, whatever this thread is doing.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self) -> None:
        """See to it that the heart beats."""
        with self._lock:
            self._started = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ramet-beat", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Have the next beat come now."""
        self._woken.put(None)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._woken.get(timeout=min(self._every_s, threading.TIMEOUT_MAX))
            with self._lock:
                self._started = False
            try:
                needed = self._beat()
            except Exception as error:  # noqa: BLE001 - stores of one's own raise what they like
                # The store may be back before the lease runs out.
                logger.warning("could not hold on to the turns that are out: %s", error)
                continue
            with self._lock:
                if not needed and not self._started:
                    self._thread = None
                    return
                self._started = False


class TurnsOut:
    """Turns by member, and the heart that beats for them."""

    def __init__(
        self, store: Store, *, run: str, worker: str, ttl_s: float, beating: bool, clock: Clock
    ) -> None:
        self._store, self._clock = store, clock
        self._run, self._worker = run, worker
        self._ttl_s, self._every_s = ttl_s, ttl_s / BEATS
        self._turns: dict[int, Turn] = {}
        self._beat_at = clock.uptime()
        self._heartbeat = self._heart() if beating else None

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        # Others may be told meanwhile.
        return iter(list(self._turns.values()))

    def __contains__(self, turn: Turn) -> bool:
        return self._turns.get(turn.member) is turn

    def _heart(self) -> Heartbeat:
        """Return what beats for these turns, until their run is dropped and none can be told."""

        def beat() -> bool:
            return (out := this()) is not None and out.beat()

        heartbeat = Heartbeat(beat, every_s=self._every_s)
        this = weakref.ref(self, lambda _: heartbeat.wake())
        return heartbeat

    def add(self, turn: Turn) -> None:
        """Hold on to a turn from now on."""
        if self._heartbeat is not None:
            self._heartbeat.start()
        self._turns[turn.member] = turn
        if turn.lease.silent_s is not None:
            say_taken_over(turn.lease, turn=turn.number, ttl_s=self._ttl_s)
        if turn.lease.lost:
            with contextlib.suppress(LeaseLost):  # Telling the turn will say so.
                self.renew(turn)

    def renew(self, turn: Turn) -> None:
        """Have its lease last from now on, or raise LeaseLost."""
        ttl_s = lasting_s(self._ttl_s, lost=turn.lease.lost)
        turn.lease = self._store.renew(turn.lease, ttl_s=ttl_s)

    def beat(self) -> bool:
        """Hold on to all of them; say whether there are any."""
        self._beat_at = self._clock.uptime()
        for turn in self:
            with contextlib.suppress(LeaseLost):  # Telling the turn will say so.
                self.renew(turn)
        return bool(self._turns)

    def beat_if_late(self) -> None:
        """Beat where there is no heart, or the machine slept."""
        if self._clock.uptime() - self._beat_at > self._every_s:
            self.beat()

    def let_go(self, turn: Turn) -> None:
        """Be done with a turn, told or lost."""
        turn.over = True
        if turn in self:
            del self._turns[turn.member]

    @contextlib.contextmanager
    def ending(self, turn: Turn) -> Iterator[None]:
        """Be done with a turn once the block has ended it, or found that its lease is lost."""
        try:
            yield
        except LeaseLost:
            self.let_go(turn)
            raise
        self.let_go(turn)

    def release(self, turn: Turn) -> None:
        """Give a turn back untrained; if the store is busy, its lease runs out instead."""
        self.let_go(turn)
        try:
            self._store.release(turn.lease)
        except StoreBusy as busy:
            _say_stays_leased(turn, busy)

    def release_all(self) -> None:
        """Give back every turn, as far as the store lets it."""
        for turn in self:
            try:
                self.release(turn)
            except Exception as error:  # noqa: BLE001 - whatever it is, another error comes first
                _say_stays_leased(turn, error)

    def check(self, turn: Turn) -> None:
        """Refuse a turn that is not out."""
        if turn in self:
            return
        which = f"turn {turn.number} of member {turn.member} of run {self._run!r}"
        if turn.over:
            raise TurnMisused(f"a turn must be told once, but {which} is over already")
        raise LeaseLost(
            f"worker {self._worker!r} does not hold {which}: it was asked for elsewhere, or its "
            f"lease ran out and the member was handed out again. Nothing was written. If a turn "
            f"can pause for longer than its lease lasts, raise lease_ttl_s"
        )


def _say_stays_leased(turn: Turn, error: Exception) -> None:
    logger.warning("turn %d of member %d stays leased: %s", turn.number, turn.member, error)

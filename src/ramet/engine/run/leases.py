"""The leases of a worker's turns: renew them while it lives, release them when it stops."""

import contextlib
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

from ramet.clock import Clock
from ramet.engine.run.turn import Turn
from ramet.errors import LeaseLost, StoreBusy, TurnMisused
from ramet.store.base import Lease, Store

logger = logging.getLogger("ramet")

# A lease is renewed this often within its time.
RENEWALS_PER_LEASE = 3
# A worker that is certainly dead but cannot be seen to be, as in another container, keeps its
# member for at most 2 ** 6 leases.
MOST_DOUBLINGS = 6


def lasting_s(ttl_s: float, *, lost: int) -> float:
    """Return the seconds that a lease lasts, doubled after each loss in the same turn.

    >>> [lasting_s(60.0, lost=lost) for lost in (0, 1, 2, 6, 7)]
    [60.0, 120.0, 240.0, 3840.0, 3840.0]
    """
    return ttl_s * 2.0 ** min(lost, MOST_DOUBLINGS)


def say_taken_over(lease: Lease, *, turn: int, ttl_s: float) -> None:
    """Warn that a turn was taken from a worker that fell silent."""
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
    """Calls a function at regular times, from a thread, until it returns False."""

    def __init__(self, beat: Callable[[], bool], *, every_s: float) -> None:
        self._beat, self._every_s = beat, every_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Whether ``start`` was called since the last call of the function began.
        self._started = False
        # A simple queue can be put into during garbage collection, whatever this thread is doing.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        with self._lock:
            self._started = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ramet-beat", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Make the next call now."""
        self._woken.put(None)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._woken.get(timeout=min(self._every_s, threading.TIMEOUT_MAX))
            with self._lock:
                self._started = False
            try:
                needed = self._beat()
            except Exception as error:  # noqa: BLE001 - other people's stores may raise anything
                # The store may work again before the lease expires.
                logger.warning("could not renew the leases of the turns that are out: %s", error)
                continue
            with self._lock:
                if not needed and not self._started:
                    self._thread = None
                    return
                self._started = False


class TurnsOut:
    """A worker's turns by member, and the heartbeat that renews their leases."""

    def __init__(
        self, store: Store, *, run: str, worker: str, ttl_s: float, beating: bool, clock: Clock
    ) -> None:
        self._store, self._clock = store, clock
        self._run, self._worker = run, worker
        self._ttl_s, self._every_s = ttl_s, ttl_s / RENEWALS_PER_LEASE
        self._turns: dict[int, Turn] = {}
        self._beat_at = clock.uptime()
        self._heartbeat = self._make_heartbeat() if beating else None

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        # A copy, because other turns may end meanwhile.
        return iter(list(self._turns.values()))

    def __contains__(self, turn: Turn) -> bool:
        return self._turns.get(turn.member) is turn

    def _make_heartbeat(self) -> Heartbeat:
        """Return a heartbeat for these turns; it ends once this object is garbage."""

        def beat() -> bool:
            return (out := this()) is not None and out.beat()

        heartbeat = Heartbeat(beat, every_s=self._every_s)
        this = weakref.ref(self, lambda _: heartbeat.wake())
        return heartbeat

    def add_all(self, turns: Sequence[Turn]) -> None:
        """Add turns, and renew their leases from now on."""
        if not turns:
            return
        if self._heartbeat is not None:
            self._heartbeat.start()
        for turn in turns:
            self._turns[turn.member] = turn
            if turn.lease.silent_s is not None:
                say_taken_over(turn.lease, turn=turn.number, ttl_s=self._ttl_s)
        self._renew_all([turn for turn in turns if turn.lease.lost])

    def renew(self, turn: Turn) -> None:
        """Renew the lease of a turn, or raise LeaseLost."""
        ttl_s = lasting_s(self._ttl_s, lost=turn.lease.lost)
        turn.lease = self._store.renew(turn.lease, ttl_s=ttl_s)

    def beat(self) -> bool:
        """Renew all leases; return whether there are any."""
        self._beat_at = self._clock.uptime()
        self._renew_all(list(self))
        return bool(self._turns)

    def _renew_all(self, turns: Sequence[Turn]) -> None:
        """Renew the leases of turns, but for those that are lost: ``tell`` will say so."""
        for lost in {turn.lease.lost for turn in turns}:
            alike = {turn.member: turn for turn in turns if turn.lease.lost == lost}
            ttl_s = lasting_s(self._ttl_s, lost=lost)
            leases = [turn.lease for turn in alike.values()]
            for lease in self._store.renew_all(leases, ttl_s=ttl_s):
                alike[lease.member].lease = lease

    def beat_if_late(self) -> None:
        """Renew all leases if that is late: there is no heartbeat, or the machine slept."""
        if self._clock.uptime() - self._beat_at > self._every_s:
            self.beat()

    def exchange(self, turns: Iterable[Turn]) -> None:
        """Hold other turn objects of turns that are out, under the leases that these have now."""
        for turn in turns:
            if (held := self._turns.get(turn.member)) is not None:
                turn.lease = held.lease
                self._turns[turn.member] = turn

    def let_go(self, turn: Turn) -> None:
        """Remove a turn that has ended or lost its lease."""
        self.let_go_all([turn])

    def let_go_all(self, turns: Sequence[Turn]) -> None:
        """Remove turns that have ended."""
        out = self._turns
        for turn in turns:
            turn.over = True
            if out.get(turn.member) is turn:
                del out[turn.member]

    @contextlib.contextmanager
    def ending(self, turn: Turn) -> Iterator[None]:
        """Remove a turn once the block has ended it, or has found that its lease is lost."""
        try:
            yield
        except LeaseLost:
            self.let_go(turn)
            raise
        self.let_go(turn)

    def release(self, turn: Turn) -> None:
        """Give a turn back untrained; if the store is busy, its lease expires instead."""
        self.let_go(turn)
        try:
            self._store.release(turn.lease)
        except StoreBusy as busy:
            _say_stays_leased(turn, busy)

    def release_all(self) -> None:
        """Give back every turn; log what the store does not take."""
        turns = list(self)
        self.let_go_all(turns)
        try:
            self._store.release_all([turn.lease for turn in turns])
        except Exception as error:  # noqa: BLE001 - the error that ends the run comes first
            for turn in turns:
                _say_stays_leased(turn, error)

    def check(self, turn: Turn) -> None:
        """Refuse a turn that is not out."""
        if turn in self:
            return
        which = f"turn {turn.number} of member {turn.member} of run {self._run!r}"
        if turn.over:
            raise TurnMisused(f"a turn must end once (run.tell), but {which} is over already")
        raise LeaseLost(
            f"worker {self._worker!r} does not hold {which}: it was asked for elsewhere, or its "
            f"lease expired and another worker got the member. Nothing was written. If a turn "
            f"can pause for longer than its lease lasts, raise lease_ttl_s"
        )


def _say_stays_leased(turn: Turn, error: Exception) -> None:
    logger.warning("turn %d of member %d stays leased: %s", turn.number, turn.member, error)

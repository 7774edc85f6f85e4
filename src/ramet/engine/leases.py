"""Leases of turns that workers fall silent in: each lasts longer than the one before."""

import logging

from ramet.store.base import Lease

logger = logging.getLogger("ramet")

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

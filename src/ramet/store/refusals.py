"""The errors of stores, worded alike for all of them."""

from collections.abc import Sequence

from ramet.errors import CorruptLog, LeaseLost, LogMoved, NameTaken, RunInUse, RunNotFound
from ramet.store.base import Lease, Standing


def run_not_found(run: str, there: Sequence[str]) -> RunNotFound:
    return RunNotFound(
        f"a run must be opened before it is used, but {run!r} was not; this store has {there}"
    )


def run_in_use(run: str, workers: Sequence[str], *, deed: str = "overwritten") -> RunInUse:
    return RunInUse(
        f"a run must be left by its workers before it is {deed}, but {', '.join(workers)} "
        f"hold members of run {run!r}; nothing was changed: stop it (ramet stop, or end these "
        f"workers) and try again"
    )


def name_taken(name: str) -> NameTaken:
    return NameTaken(
        f"a run must get a name that no other run in its store has, but there is a run {name!r}; "
        f"nothing was changed: choose another name, or delete or rename that run first"
    )


def lease_lost(lease: Lease, *, ago_s: float, holder: str | None) -> LeaseLost:
    ran_out = f"ran out {ago_s:.1f} s ago" if ago_s > 0 else "was revoked"
    now_held = f"{holder!r} holds it now" if holder else "it is done with"
    return LeaseLost(
        f"worker {lease.worker!r} no longer holds member {lease.member} of run {lease.run!r}: "
        f"its lease {ran_out} and {now_held}. Nothing was written. If a turn can pause for "
        f"longer than its lease lasts, raise lease_ttl_s"
    )


def log_moved(run: str, after: int, head: int) -> LogMoved:
    return LogMoved(
        f"a commit decided on event {after} of run {run!r} must come next after it, but the last "
        f"event is {head}; nothing was written: read on, decide again"
    )


def source_moved(lease: Lease, source: Standing) -> LogMoved:
    return LogMoved(
        f"a copy must be of what its source has when it is written, but member {source.member} of "
        f"run {lease.run!r} went on from {source.checkpoint}; nothing was written: read on, decide "
        f"again"
    )


def damage(what: str, why: str) -> CorruptLog:
    return CorruptLog(
        f"a store must say what was written to it, but {what} does not: {why}. The disk, or a copy "
        f"of the file, damaged it; put back a copy of the store that is whole"
    )

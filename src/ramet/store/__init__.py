"""Stores: the record of runs, in memory, in a file or in a database."""

from typing import TYPE_CHECKING, Any

from ramet.store.base import Lease, RunEvent, Seat, Standing, Store, standing
from ramet.store.memory import MemoryStore
from ramet.store.sqlite import Durability, SQLiteStore

if TYPE_CHECKING:
    from ramet.store.postgres.store import PostgresStore

__all__ = [
    "Durability",
    "Lease",
    "MemoryStore",
    "PostgresStore",
    "RunEvent",
    "SQLiteStore",
    "Seat",
    "Standing",
    "Store",
    "standing",
]


def __getattr__(name: str) -> Any:
    """Import the PostgreSQL store, and its driver, when it is first used."""
    if name != "PostgresStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ramet.store.postgres.store import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        from ramet.store.postgres.refusals import absent  # noqa: PLC0415 - the same

        raise absent(error) from error
    return PostgresStore

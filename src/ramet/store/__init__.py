"""Stores: the record of runs, in memory or in a file."""

from ramet.store.base import Lease, RunEvent, Seat, Standing, Store, standing
from ramet.store.memory import MemoryStore
from ramet.store.sqlite import Durability, SQLiteStore

__all__ = [
    "Durability",
    "Lease",
    "MemoryStore",
    "RunEvent",
    "SQLiteStore",
    "Seat",
    "Standing",
    "Store",
    "standing",
]

"""Stores: the record of runs, in memory or (to come) in a database."""

from ramet.store.base import Lease, Store
from ramet.store.memory import MemoryStore

__all__ = ["Lease", "MemoryStore", "Store"]

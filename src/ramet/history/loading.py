"""Read the result of a run that is on record."""

from os import PathLike

from ramet.blobs import Blobs, MemoryBlobs
from ramet.errors import StoreError
from ramet.history.result import Result
from ramet.places import Storage, existing, place
from ramet.store.base import Store


def load(
    store: Storage | Store | str | PathLike[str],
    name: str | None = None,
    *,
    blobs: Blobs | None = None,
) -> Result:
    """Return the result of a recorded run, whether it is over or still going on.

    Args:
        store: The file of a store, the URL of a database, a store, or a ``Storage``.
        name: The run's name, which may be left out if the store has one run only.
        blobs: Where the checkpoints are, if they are not beside the file.
    """
    if isinstance(store, Storage):
        if store.store is None:
            raise StoreError("a run on record must be in a store, but got Storage(None)")
        blobs = store.opened_blobs if blobs is None else blobs
        store = store.store
    where = (
        existing(store, blobs=blobs)
        if isinstance(store, str | PathLike)
        else place(Storage(store, blobs=MemoryBlobs()))
    )
    kept = where.blobs if blobs is None else blobs
    try:
        return Result(store=where.store, blobs=kept, name=where.choose(name))
    finally:
        where.close()


def open_without_log(store: str | PathLike[str], name: str | None = None) -> Result:
    """Return the result of a recorded run without keeping its log in memory."""
    where = existing(store)
    try:
        return Result.without_log(store=where.store, blobs=where.blobs, name=where.choose(name))
    finally:
        where.close()

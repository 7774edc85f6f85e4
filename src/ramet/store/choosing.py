"""Which run of a store is meant where none is named."""

from collections.abc import Sequence

from ramet.errors import StoreError, UsageError
from ramet.events.opening import find_replayed
from ramet.store.base import Store


def find_sole(store: Store, names: Sequence[str]) -> str | None:
    """Return the only run, or the only one that is no replay of another of these.

    Args:
        store: The store.
        names: The names of its runs.
    """
    if len(names) == 1:
        return names[0]
    originals = []
    for name in names:
        try:
            of = find_replayed(store.opening(name))
        except (StoreError, UsageError):
            # Of a damaged run it is not known.
            of = None
        if of not in names:
            originals.append(name)
    return originals[0] if len(originals) == 1 else None

"""Where the bytes of checkpoints are."""

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from ramet.digest import Buffer
from ramet.errors import StoreError

_KEY = re.compile(r"\d{1,18}-\d{1,18}-([0-9a-f]{32})", re.ASCII)


class Blobs(Protocol):
    """The bytes of checkpoints, kept apart for each run.

    They never change, so that a copy is a row and moves no bytes. A key is ``Checkpoint.key``.

    Blobs in a place that can go missing, such as a folder, have a method ``expect(run, kept=...)``
    as well. It is called before each ``put`` and each turn. With ``kept=True`` the run's log names
    checkpoints: then it raises CheckpointMissing if there are none, and until it is called with
    ``kept=False`` no ``put`` makes the run's place anew.
    """

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        """Keep bytes, durably before returning. Putting a key again is no error."""
        ...

    def get(self, run: str, key: str) -> Buffer:
        """Return what was kept, not to be written on; raise CheckpointMissing or CheckpointDamaged.

        It is held against the digest that its key ends with.
        """
        ...

    def sizes(self, run: str) -> dict[str, int]:
        """Return the size in bytes of each key that is there."""
        ...

    def delete(self, run: str, keys: Iterable[str]) -> None:
        """Delete what is there of these."""
        ...

    def delete_leftovers(self, run: str) -> None:
        """Delete what writers that were killed had begun, and nothing of those still at work."""
        ...


def digest_in(key: str) -> str:
    """Return the digest that a key ends with.

    >>> digest_in("weights")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: a checkpoint's key must be its member, turn and digest, as in \
'3-17-0123456789abcdef0123456789abcdef', but got 'weights'
    """
    if found := _KEY.fullmatch(key):
        return found[1]
    raise StoreError(
        f"a checkpoint's key must be its member, turn and digest, as in "
        f"'3-17-0123456789abcdef0123456789abcdef', but got {key!r}"
    )


def is_key(text: str) -> bool:
    """Say whether a text is a key."""
    return _KEY.fullmatch(text) is not None

"""Where the bytes of checkpoints are kept."""

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from ramet.digest import Buffer
from ramet.errors import StoreError

_KEY = re.compile(r"\d{1,18}-\d{1,18}-([0-9a-f]{32})", re.ASCII)


class Blobs(Protocol):
    """The bytes of checkpoints, kept apart for each run.

    They never change, so copying a member moves no bytes. A key is ``Checkpoint.key``.

    Blobs in a place that can disappear, such as a folder, also have a method
    ``expect(run, kept=...)``, which is called before each ``put`` and each turn. ``kept=True``
    means that the run's log names checkpoints: the method raises CheckpointMissing if none is
    there, and from then on ``put`` does not create the run's place again, until the method is
    called with ``kept=False``.

    Blobs that several stores can reach also have a method ``attach(run, owner, anew=...)``, which
    is called whenever a process begins or joins a run. They keep ``owner``, a text that identifies
    the run's record, and raise StoreError if they keep another one already, unless the run has just
    taken the place of another (``anew=True``).

    Blobs that can read parts of a file have a method ``get_ranges(run, key, ranges)``, which
    returns the bytes from each ``begin`` to its ``end``, one range behind the other. It does not
    compare them with a digest. Of a file without all of these bytes it raises CheckpointDamaged,
    and otherwise it raises what ``get`` does. Without this method, a file is read whole for the
    state of one of the members in it.

    Blobs that can copy files at little cost have a method ``copy(run, to, keys)``, which copies
    checkpoints to a run of another name, durably, and passes over those that are not there. Without
    it, each file is read and put.

    Blobs that keep more of a run than its checkpoints, such as a folder or ``owner``, have a method
    ``forget(run)``, which deletes that. It is called once the checkpoints of a run are deleted and
    the run is about to be.
    """

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        """Keep bytes, durably before returning. The same key can be put again.

        Args:
            run: The name of the run.
            key: The key of the checkpoint.
            chunks: The bytes, in parts that follow each other.
        """
        ...

    def get(self, run: str, key: str) -> Buffer:
        """Return the bytes of ``key``, read-only; raise CheckpointMissing or CheckpointDamaged.

        They are compared with the digest that the key ends with.

        Args:
            run: The name of the run.
            key: The key of the checkpoint.
        """
        ...

    def sizes(self, run: str) -> dict[str, int]:
        """Return the size in bytes of each checkpoint of ``run``, by its key."""
        ...

    def delete(self, run: str, keys: Iterable[str]) -> None:
        """Delete those of ``keys`` that ``run`` has."""
        ...

    def delete_leftovers(self, run: str) -> None:
        """Delete what killed writers of ``run`` left unfinished, and nothing else."""
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

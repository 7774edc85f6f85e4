"""Copies checkpoints out of blobs of any kind, into a folder."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from ramet.blobs.base import Blobs
from ramet.blobs.directory import DirectoryBlobs
from ramet.errors import CheckpointDamaged, CheckpointMissing


class Fetching:
    """Collects checkpoints of any blobs in a folder, by reading and writing each of them.

    What was held is kept even if it is deleted at its source afterwards.

    Args:
        source: Where the checkpoints are.
        target: The folder.
    """

    def __init__(self, source: Blobs, target: DirectoryBlobs) -> None:
        self._source, self._target = source, target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave all as it is: nothing is held open."""

    def hold(self, run: str) -> None:
        """Copy all checkpoints that the run has now.

        Args:
            run: The name of the run.
        """
        self._copy(run, self._source.sizes(run))

    def there(self, run: str) -> set[str]:
        """Return the keys of all checkpoints that can be kept now.

        Args:
            run: The name of the run.
        """
        return {*self._source.sizes(run), *self._target.sizes(run)}

    def keep(self, run: str, keys: Iterable[str]) -> set[str]:
        """Keep these checkpoints and no others; return the keys of those that are missing.

        Args:
            run: The name of the run.
            keys: The keys.
        """
        wanted = set(keys)
        self._target.delete(run, self._target.sizes(run).keys() - wanted)
        self._copy(run, wanted)
        return wanted - self._target.sizes(run).keys()

    def _copy(self, run: str, keys: Iterable[str]) -> None:
        for key in sorted(set(keys) - self._target.sizes(run).keys()):
            with suppress(CheckpointMissing, CheckpointDamaged):
                self._target.put(run, key, [self._source.get(run, key)])

"""Checkpoints in memory."""

from collections.abc import Collection
from typing import Any

from ramet.errors import CheckpointMissing


class MemoryBlobs:
    """Keeps what it is given, which nobody else may write on."""

    def __init__(self) -> None:
        self._contents: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._contents)

    def put(self, digest: str, content: Any) -> None:
        self._contents[digest] = content

    def get(self, digest: str) -> Any:
        try:
            return self._contents[digest]
        except KeyError:
            raise CheckpointMissing(
                f"a checkpoint must be where the run's were put, but {digest} is not there; go on "
                f"with a run with the blobs= it was begun with"
            ) from None

    def sweep(self, keep: Collection[str]) -> int:
        gone = [digest for digest in self._contents if digest not in keep]
        for digest in gone:
            del self._contents[digest]
        return len(gone)

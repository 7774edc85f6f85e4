"""Where the contents of checkpoints are."""

from collections.abc import Collection
from typing import Any, Protocol


class Blobs(Protocol):
    """Contents by digest. They never change, so that a copy is a row and moves no bytes."""

    def put(self, digest: str, content: Any) -> None:
        """Keep a content, durably before returning."""
        ...

    def get(self, digest: str) -> Any:
        """Return what was kept, not to be written on, or raise CheckpointMissing."""
        ...

    def sweep(self, keep: Collection[str]) -> int:
        """Delete all but these; return how many went."""
        ...

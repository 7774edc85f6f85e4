"""Checkpoints in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ramet.blobs.base import digest_in
from ramet.blobs.refusals import check_digest, missing
from ramet.digest import Buffer


class MemoryBlobs:
    """Keeps bytes in memory until the process ends."""

    def __init__(self) -> None:
        self._runs: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        digest_in(key)
        self._runs[run][key] = b"".join(chunks)

    def get(self, run: str, key: str) -> Buffer:
        digest_in(key)
        data = self._runs[run].get(key)
        if data is None:
            raise missing(run, key, "this process's memory")
        check_digest(data, run, key, "this process's memory")
        return data

    def sizes(self, run: str) -> dict[str, int]:
        # Copied at once, because other threads may be putting more.
        return {key: len(data) for key, data in self._runs[run].copy().items()}

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for key in keys:
            digest_in(key)
            self._runs[run].pop(key, None)

    def delete_leftovers(self, run: str) -> None:
        """Do nothing: nothing in memory outlives its writer."""

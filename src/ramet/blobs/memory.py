"""Checkpoints in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ramet.blobs.base import digest_in
from ramet.blobs.refusals import check_digest, check_ranges, missing
from ramet.digest import Buffer

# As messages name it.
PLACE = "this process's memory"


class MemoryBlobs:
    """Keeps bytes in memory until the process ends."""

    def __init__(self) -> None:
        self._runs: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        digest_in(key)
        self._runs[run][key] = b"".join(chunks)

    def get(self, run: str, key: str) -> Buffer:
        data = self._find(run, key)
        check_digest(data, run, key, PLACE)
        return data

    def get_ranges(self, run: str, key: str, ranges: Sequence[tuple[int, int]]) -> Buffer:
        """Return parts of a file, one behind the other, which no digest verifies.

        Args:
            run: The name of the run.
            key: The key of the file.
            ranges: Where each part begins and ends.
        """
        data = self._find(run, key)
        check_ranges(ranges, len(data), run, key, PLACE)
        return b"".join(memoryview(data)[begin:end] for begin, end in ranges)

    def sizes(self, run: str) -> dict[str, int]:
        # Copied at once, because other threads may be putting more.
        return {key: len(data) for key, data in self._runs[run].copy().items()}

    def delete(self, run: str, keys: Iterable[str]) -> None:
        for key in keys:
            digest_in(key)
            self._runs[run].pop(key, None)

    def delete_leftovers(self, run: str) -> None:
        """Do nothing: nothing in memory outlives its writer."""

    def _find(self, run: str, key: str) -> bytes:
        digest_in(key)
        data = self._runs[run].get(key)
        if data is None:
            raise missing(run, key, PLACE)
        return data

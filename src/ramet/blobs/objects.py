"""Checkpoints as objects in the storage of a cloud, or of a server that answers like one."""

import time
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import msgspec

from ramet.blobs.address import parse
from ramet.blobs.base import digest_in, is_key
from ramet.blobs.bucket import Bucket
from ramet.blobs.cache import Cache, usual_folder
from ramet.blobs.cloud_refusals import of_another
from ramet.blobs.naming import KEPT, quote_for_url
from ramet.blobs.reading import LARGE_BYTES
from ramet.blobs.refusals import absent, check_digest, check_ranges, missing, unreadable
from ramet.blobs.uploads import abort_abandoned
from ramet.digest import Buffer, digest
from ramet.errors import StoreError
from ramet.faults import reach
from ramet.layout import FIRST, check_size, header_end, read_header

# How often bytes are fetched before they count as damaged: a proxy may tear an answer.
FETCHES = 3
# How long it is taken for granted that a run's checkpoints have not all gone.
EXPECT_AGAIN_S = 60.0
# The object that says which run's checkpoints are beside it.
OWNER = "owner.json"
CACHE_BYTES = 1 << 30


class ObjectBlobs:
    """Keeps each checkpoint as an object under ``URL/run/key.safetensors``.

    Credentials and an endpoint other than the cloud's own come from the environment
    (docs/object-storage.md), so they are in no log, argument or ``repr``. Needs
    ``pip install 'ramet[cloud]'``.

    >>> ObjectBlobs("s3:bucket/runs")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: the URL of checkpoints must be like 's3://bucket/prefix', \
'gs://bucket/prefix', 'az://container/prefix' or 'file:///folder', but 's3:' is not followed by \
two slashes; write 's3://'

    Args:
        url: The bucket, and a prefix in it that no other store uses: ``"s3://bucket/prefix"``,
            ``"gs://bucket/prefix"`` or ``"az://container/prefix"``.
        cache: A folder of this machine for the checkpoints used last, which any processes may
            share; None is one among this user's caches.
        cache_bytes: How many bytes it may have; 0 keeps no cache.
        patience_s: Seconds for which a request is tried again while the storage fails.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: str | PathLike[str] | None = None,
        cache_bytes: int = CACHE_BYTES,
        patience_s: float = 60.0,
    ) -> None:
        self._address = parse(url)
        if cache_bytes < 0 or not patience_s > 0:
            raise StoreError(
                f"cache_bytes must be 0 or more and patience_s positive, but got "
                f"{cache_bytes=} and {patience_s=}"
            )
        self._settings = {"cache": cache, "cache_bytes": cache_bytes, "patience_s": patience_s}
        self._bucket = Bucket(self._address, patience_s)
        self._cache = Cache(Path(fspath(cache)) if cache else usual_folder(), cache_bytes)
        # Runs that must have checkpoints, and when some were last seen.
        self._seen: dict[str, float] = {}
        # Runs of which this process has aborted old uploads.
        self._tidied: set[str] = set()

    def __repr__(self) -> str:
        return f"ObjectBlobs({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Each process connects by itself, with the credentials of its own environment.
        return _remake, (self.url, self._settings)

    @property
    def url(self) -> str:
        """The bucket and the prefix."""
        return str(self._address)

    def expect(self, run: str, *, kept: bool) -> None:
        """Raise CheckpointMissing if ``run`` should have checkpoints, but has none.

        The storage is asked at most once a minute, or if a checkpoint was missing.

        Args:
            run: The name of the run.
            kept: Whether it should have checkpoints.
        """
        if not kept:
            self._seen.pop(run, None)
        elif time.monotonic() - self._seen.get(run, -EXPECT_AGAIN_S) >= EXPECT_AGAIN_S:
            if not self._list(run, pages=1):
                raise absent(run, self._where(run), "there is none under this prefix")
            self._seen[run] = time.monotonic()

    def attach(self, run: str, owner: str, *, anew: bool = False) -> None:
        """Raise StoreError if the checkpoints are those of another run of the same name.

        Args:
            run: The name of the run.
            owner: Identifies its record. It is kept beside the checkpoints from then on.
            anew: Whether the run has just taken the place of another in its store.
        """
        path, data = f"{self._folder(run)}/{OWNER}", msgspec.json.encode({"record": owner})
        if anew:
            self._bucket.write(path, [memoryview(data)])
        elif self._bucket.read(path) is None and self._bucket.create(path, data):
            return
        elif all(self._bucket.read(path) != data for _ in range(FETCHES)):
            raise of_another(run, self._where(run))

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        path = self._path(run, key)
        parts = [memoryview(chunk).cast("B") for chunk in chunks if len(chunk)]
        reach("blob-written")
        self._bucket.write(path, parts)
        reach("blob-kept")
        self._cache.put(key, parts)

    def get(self, run: str, key: str) -> Buffer:
        wanted = digest_in(key)
        if (kept := self._cache.get(key)) is not None:
            return kept
        data = self._fetch(run, key)
        for _ in range(FETCHES - 1):
            if digest([data]) == wanted:
                break
            data = self._fetch(run, key)
        check_digest(data, run, key, self._where(run))
        self._cache.put(key, [data])
        return data

    def get_ranges(self, run: str, key: str, ranges: Sequence[tuple[int, int]]) -> Buffer:
        """Return parts of an object, one behind the other, which no digest verifies.

        Args:
            run: The name of the run.
            key: The key of the file.
            ranges: Where each part begins and ends.
        """
        if (kept := self._cache.get(key)) is not None:
            check_ranges(ranges, len(kept), run, key, str(self._cache.folder))
            return b"".join(memoryview(kept)[begin:end] for begin, end in ranges)
        path = self._path(run, key)
        possible = all(0 <= begin <= end for begin, end in ranges)
        filled = [(begin, end) for begin, end in ranges if begin < end]
        parts = self._bucket.read_ranges(path, filled) if possible else None
        # There is no such object, it does not have them all, or nothing was read that says so.
        if parts is None or len(filled) < len(ranges) or not ranges:
            if (size := self._bucket.size(path)) is None:
                raise self._missing(run, key)
            check_ranges(ranges, size, run, key, self._where(run))
        return b"".join(parts or ())

    def sizes(self, run: str) -> dict[str, int]:
        return self._list(run)

    def delete(self, run: str, keys: Iterable[str]) -> None:
        paths = {key: self._path(run, key) for key in keys}
        self._bucket.delete(paths.values())
        for key in paths:
            self._cache.delete(key)

    def delete_leftovers(self, run: str) -> None:
        """Abort uploads of large states that began more than a day ago, on S3.

        This process looks once for each run. Other storage forgets them by itself, or by a rule of
        the bucket (docs/object-storage.md).
        """
        if run not in self._tidied:
            self._tidied.add(run)
            prefix = f"{self._address.prefix}/" if self._address.prefix else ""
            abort_abandoned(self._address, f"{prefix}{self._folder(run)}/")

    def forget(self, run: str) -> None:
        """Delete what says to which record the checkpoints of a run belong.

        Args:
            run: The name of the run.
        """
        self._seen.pop(run, None)
        self._bucket.delete([f"{self._folder(run)}/{OWNER}"])

    def _folder(self, run: str) -> str:
        return quote_for_url(run)

    def _path(self, run: str, key: str) -> str:
        digest_in(key)
        return f"{self._folder(run)}/{key}{KEPT}"

    def _where(self, run: str) -> str:
        """Return what messages call the place of a run's checkpoints."""
        return f"{self.url}/{self._folder(run)}"

    def _list(self, run: str, *, pages: int | None = None) -> dict[str, int]:
        """Return the sizes of a run's checkpoints by their keys."""
        return {
            name.removesuffix(KEPT): size
            for name, size in self._bucket.list_files(self._folder(run), pages=pages)
            if name.endswith(KEPT) and is_key(name.removesuffix(KEPT))
        }

    def _fetch(self, run: str, key: str) -> Buffer:
        path = self._path(run, key)

        def check(size: int) -> None:
            if size >= LARGE_BYTES:
                self._check_header(run, key, size)

        if (data := self._bucket.read(path, check)) is None:
            raise self._missing(run, key)
        return data

    def _missing(self, run: str, key: str) -> StoreError:
        # The next call of expect looks whether all are gone.
        self._seen.pop(run, None)
        return missing(run, key, self._where(run))

    def _check_header(self, run: str, key: str, size: int) -> None:
        """Refuse an object whose header gives another size, before memory is allocated for it."""
        try:
            end = header_end(self._read_from(run, key, 0, FIRST), size)
            check_size(read_header(self._read_from(run, key, FIRST, end)), size - end)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            why = f"its {size:,} bytes are no checkpoint: {error}"
            raise unreadable(run, key, self._where(run), why) from None

    def _read_from(self, run: str, key: str, begin: int, end: int) -> bytes:
        if begin == end:
            return b""
        parts = self._bucket.read_ranges(self._path(run, key), [(begin, end)])
        if not parts:
            raise self._missing(run, key)
        return bytes(parts[0])


def _remake(url: str, settings: dict[str, Any]) -> ObjectBlobs:
    return ObjectBlobs(url, **settings)

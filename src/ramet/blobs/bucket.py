"""Requests to object storage, and errors of ours for those that fail."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ramet.blobs.address import Address
from ramet.blobs.cloud_refusals import (
    Doing,
    broke_off,
    code_of,
    describe,
    explain,
    is_passing,
    lacks_bucket,
    lacks_conditions,
    refuse_settings,
)
from ramet.blobs.connecting import connect, load_client
from ramet.blobs.patience import CLIENT_S, Patience, pause
from ramet.digest import Buffer

T = TypeVar("T")

# From this size on, an object is written in parts, several at a time.
PART_BYTES, PARTS_AT_ONCE = 16 << 20, 4
# Of one object, on Amazon; with some to spare.
MOST_PARTS = 9_000
# Of objects in one request, when listing and deleting.
PAGE = 1_000
# The longest pause before each further try if an answer broke off. Others the client tries again.
PAUSES_S = (0.1, 0.4, 1.6)


class Bucket:
    """A bucket, which is connected to when it is first needed.

    Requests that fail are tried again with growing, random pauses, until patience ends.

    Args:
        address: The bucket; its prefix is in front of all paths.
        patience_s: Seconds for which a request is tried while it fails.
    """

    def __init__(self, address: Address, patience_s: float) -> None:
        self._address, self._patience_s = address, patience_s
        self._lock = threading.Lock()
        # One for each time for which the client tries again by itself.
        self._connections: dict[float, Any] = {}

    def write(self, path: str, chunks: Sequence[memoryview]) -> None:
        """Write an object, in place of one of this path.

        Args:
            path: Its path under the prefix.
            chunks: The bytes, in parts that follow each other.
        """
        size = sum(chunk.nbytes for chunk in chunks)
        part = max(PART_BYTES, -(-size // MOST_PARTS))
        how: dict[str, Any] = {"chunk_size": part, "max_concurrency": PARTS_AT_ONCE}
        if size <= PART_BYTES:
            how = {"use_multipart": False}

        def put(store: Any) -> None:
            # From the beginning whenever it is tried again.
            data = b"".join(chunks) if size <= PART_BYTES else _split(chunks)
            self._client.put(store, self._full(path), data, **how)

        # The client alone repeats a part without those before it.
        self._ask(Doing.WRITE, put, alone=size > PART_BYTES)

    def create(self, path: str, data: bytes) -> bool:
        """Write an object unless one of this path exists; say whether it was written.

        Storage that knows no conditions writes it in any case.

        Args:
            path: Its path under the prefix.
            data: The bytes.
        """

        def put(store: Any) -> bool:
            try:
                self._client.put(store, self._full(path), data, mode="create")
            except self._client.exceptions.AlreadyExistsError:
                return False
            except self._client.exceptions.BaseError as error:
                if not lacks_conditions(error):
                    raise
                self._client.put(store, self._full(path), data)
            return True

        return bool(self._ask(Doing.WRITE, put))

    def read(self, path: str, check: Callable[[int], None] = lambda _: None) -> Buffer | None:
        """Return the bytes of an object, or None if there is none.

        Args:
            path: Its path under the prefix.
            check: Called with the size before memory is allocated.
        """

        def get(store: Any) -> Buffer:
            found = self._client.get(store, self._full(path))
            check(found.meta["size"])
            return memoryview(found.bytes())

        return self._ask(Doing.READ, get)

    def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, or None if there is none.

        Args:
            path: Its path under the prefix.
        """
        found = self._ask(Doing.READ, lambda store: self._client.head(store, self._full(path)))
        return None if found is None else int(found["size"])

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[Buffer] | None:
        """Return parts of an object, or None unless it exists and has them all.

        Args:
            path: Its path under the prefix.
            ranges: Where each part begins and ends; none of them is empty.
        """
        starts, ends = [begin for begin, _ in ranges], [end for _, end in ranges]

        def get(store: Any) -> list[Buffer] | None:
            try:
                found = self._client.get_ranges(store, self._full(path), starts=starts, ends=ends)
            except OverflowError:
                return None
            except self._client.exceptions.BaseError as error:
                if code_of(error) == "InvalidRange":
                    return None
                raise
            return [memoryview(data) for data in found]

        parts = self._ask(Doing.READ, get) if ranges else []
        whole = parts and all(
            len(part) == end - begin for part, (begin, end) in zip(parts, ranges, strict=True)
        )
        return parts if whole or not ranges else None

    def list_files(self, folder: str, *, pages: int | None = None) -> list[tuple[str, int]]:
        """Return the name and the size of each object in a folder.

        Args:
            folder: Its path under the prefix.
            pages: How many pages of them are enough; None reads all.
        """
        begin = self._full(folder) + "/"

        def read(store: Any) -> list[tuple[str, int]]:
            listed = self._client.list(store, self._full(folder), chunk_size=PAGE)
            return [
                (file["path"].removeprefix(begin), file["size"])
                for page in itertools.islice(listed, pages)
                for file in page
            ]

        return self._ask(Doing.LIST, read) or []

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects, as many as possible in one request.

        Args:
            paths: Their paths under the prefix; some may not exist.
        """
        full = [self._full(path) for path in paths]
        for start in range(0, len(full), PAGE):
            page = full[start : start + PAGE]
            if not self._delete(page):
                # Some storage refuses all if one of them is missing.
                for path in page:
                    self._delete([path])

    def _delete(self, page: list[str]) -> bool:
        def delete(store: Any) -> bool:
            self._client.delete(store, page)
            return True

        return bool(self._ask(Doing.DELETE, delete))

    def _full(self, path: str) -> str:
        return f"{self._address.prefix}/{path}" if self._address.prefix else path

    def _ask(self, doing: Doing, call: Callable[[Any], T], *, alone: bool = False) -> T | None:
        """Return what a call of the client returns, or None if there is no such object.

        Args:
            doing: What is asked.
            call: The call.
            alone: Whether the client alone tries again, until patience ends.
        """
        client_s = self._patience_s if alone else min(self._patience_s, CLIENT_S)
        store, pauses_s = self._store(client_s), iter(PAUSES_S)
        patience = Patience(self._address, doing, self._patience_s, client_s=client_s)
        while True:
            began = time.monotonic()
            try:
                return call(store)
            except FileNotFoundError as error:
                if not lacks_bucket(error):
                    return None
                refusal = explain(error, doing, self._address, self._patience_s)
            except (self._client.exceptions.BaseError, OSError, ValueError) as error:
                if broke_off(error) and (pause_s := next(pauses_s, None)):
                    pause(pause_s)
                    continue
                if is_passing(error) and patience.wait(describe(error), time.monotonic() - began):
                    continue
                refusal = explain(error, doing, self._address, self._patience_s)
            # Outside of the handlers: the client's error may repeat what is secret.
            raise refusal

    @property
    def _client(self) -> Any:
        # Loaded when it is needed: commands that read no checkpoints work without it.
        return load_client(self._address)

    def _store(self, client_s: float) -> Any:
        with self._lock:
            if client_s not in self._connections:
                self._connections[client_s] = self._connect(client_s)
            return self._connections[client_s]

    def _connect(self, client_s: float) -> Any:
        try:
            return connect(self._address, client_s)
        except (self._client.exceptions.BaseError, OSError, ValueError) as error:
            refusal = refuse_settings(error, self._address)
        raise refusal


def _split(chunks: Iterable[memoryview]) -> Iterator[memoryview]:
    """Yield the same bytes in pieces that are no larger than a part."""
    for chunk in chunks:
        for start in range(0, chunk.nbytes, PART_BYTES):
            yield chunk[start : start + PART_BYTES]

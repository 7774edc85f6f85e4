"""Blobs by their URL, and the file beside a store that names the URL of its checkpoints."""

import contextlib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ramet import files
from ramet.blobs.address import FILE, find_scheme, is_url
from ramet.blobs.base import Blobs
from ramet.blobs.directory import DirectoryBlobs, Durability
from ramet.blobs.objects import ObjectBlobs
from ramet.errors import StoreError

# Behind the store's file name.
POINTER = "-blobs"
MOST_BYTES = 4096


def open_blobs(url: str, *, durability: Durability = "power") -> Blobs:
    """Return the blobs at a URL, or in a folder.

    >>> open_blobs("/scratch/runs")
    DirectoryBlobs('/scratch/runs', durability='power')
    >>> open_blobs("file:///scratch/runs")
    DirectoryBlobs('/scratch/runs', durability='power')

    Args:
        url: The URL, or the path of the folder.
        durability: What a checkpoint in a folder survives.
    """
    if url and not is_url(url):
        return DirectoryBlobs(url, durability=durability)
    if find_scheme(url) != FILE:
        return ObjectBlobs(url)
    split = urlsplit(url)
    if split.netloc not in {"", "localhost"} or split.path in {"", "/"}:
        raise StoreError(
            f"the URL of a folder must have its full path behind three slashes, as in "
            f"'file:///scratch/runs', but got {url!r}"
        )
    return DirectoryBlobs(url2pathname(split.path), durability=durability)


def find_pointed(store: Path) -> Blobs | None:
    """Return the blobs that the file beside a store names, if there is such a file.

    Args:
        store: The file of the store.
    """
    pointer = _pointer_of(store)
    try:
        text = pointer.read_bytes()[:MOST_BYTES].decode().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{pointer} must name the URL of the store's checkpoints, but it cannot be read: "
            f"{error}; write the URL into it, or pass blobs="
        ) from None
    try:
        # No folder: a store from elsewhere must not lead to any folder of this machine.
        return ObjectBlobs(text)
    except StoreError as error:
        raise StoreError(f"{pointer} must name where checkpoints are, but {error}") from None


def remember(blobs: Blobs, store: Path) -> None:
    """Write beside a store that its checkpoints are in object storage; refuse another place.

    Args:
        blobs: Where the checkpoints are; blobs of other kinds are not remembered.
        store: The file of the store.
    """
    if not isinstance(blobs, ObjectBlobs):
        return
    pointer, before = _pointer_of(store), None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, OSError, UnicodeDecodeError):
        before = pointer.read_bytes()[:MOST_BYTES].decode().strip()
    if before is None:
        _write(pointer, blobs.url)
    elif before != blobs.url:
        raise StoreError(
            f"a store must go on with the checkpoints it has, but {pointer} says that those of "
            f"{store.name} are in {before}, and blobs= says {blobs.url}; leave blobs= out or, if "
            f"nothing was trained yet or they were moved, delete that file"
        )


def _pointer_of(store: Path) -> Path:
    return store.with_name(store.name + POINTER)


def _write(pointer: Path, url: str) -> None:
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        files.write(pointer, f"{url}\n".encode())
    except OSError as error:
        raise StoreError(
            f"a store must say where its checkpoints are, but writing {pointer} failed: {error}; "
            f"see to the folder and who may write there"
        ) from error

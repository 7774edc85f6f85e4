"""Copy a store and its checkpoints while runs in it go on."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import cast

import msgspec

from ramet.blobs import Blobs, DirectoryBlobs
from ramet.blobs.collecting import Collecting, sync
from ramet.blobs.fetching import Fetching
from ramet.errors import StoreError, StoreUnsupported, UsageError
from ramet.history.doctor import examine
from ramet.history.following import Follower
from ramet.history.keeping import find_files, find_needed
from ramet.places import CHECKPOINTS, existing
from ramet.store import SQLiteStore
from ramet.store.base import find_holders
from ramet.store.postgres.address import find_address
from ramet.wording import command

# How often a copy is tried again because the run deleted checkpoints that it needed.
MAX_COPY_ATTEMPTS = 100


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a store.

    Args:
        path: The file of the copy.
        runs: The number of runs in it.
        files: The number of files with checkpoints beside it.
        size: The size of the file and the checkpoints, in bytes.
    """

    path: str
    runs: int
    files: int
    size: int


def backup(
    store: str | PathLike[str],
    target: str | PathLike[str],
    *,
    blobs: Blobs | None = None,
) -> Backup:
    """Copy a store and the checkpoints that its runs need, as they are at one moment.

    Runs may go on meanwhile. The copy is checked as `ramet doctor` does, and appears once it is
    complete. On the same file system, its checkpoints are links to the same files, which take no
    space until the original is pruned. Checkpoints in object storage are copied to a folder.

    Args:
        store: The file of a store.
        target: The file of the copy, which must not exist; nor may its folder of checkpoints.
        blobs: Where the checkpoints are, if they are not beside the store.
    """
    final = Path(target).absolute()
    _check_free(final)
    if find_address(store) is not None:
        raise StoreUnsupported(
            "a backup copies the file of a store, but the record of this one is in a database; use "
            "pg_dump --schema=ramet (or the schema= of its URL), and then copy its checkpoints"
        )
    where = existing(store)
    source, kept = where.store, where.blobs if blobs is None else blobs
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _draft(final) as draft:
            record, copies = _copy(cast(SQLiteStore, source), kept, draft)
            _check_whole(record, copies, Path(store))
            made = _describe(record, copies, final)
            _publish(draft, final)
    except OSError as error:
        raise StoreError(
            f"a backup must be written whole, but {error}. There is none at {final}; free space, "
            f"see to its folder, or name another place"
        ) from error
    return made


def _beside(store: Path) -> Path:
    return store.with_name(store.name + CHECKPOINTS)


def _check_free(final: Path) -> None:
    names = [final, _beside(final), *(Path(f"{final}{suffix}") for suffix in ("-wal", "-shm"))]
    if taken := [name for name in names if os.path.lexists(name)]:
        raise UsageError(
            f"the files of a backup must not exist yet, but {taken[0]} does. It was left as it is; "
            f"name another file"
        )


@contextmanager
def _draft(final: Path) -> Iterator[Path]:
    """Yield a path on the same file system, in a folder that is deleted afterwards."""
    folder = tempfile.mkdtemp(prefix=f".{final.name[:100]}.", dir=final.parent)
    try:
        yield Path(folder) / final.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: SQLiteStore, kept: Blobs, draft: Path) -> tuple[SQLiteStore, DirectoryBlobs]:
    """Copy the record and then the checkpoints that it needs; repeat if some were deleted.

    Checkpoints are held while the record is copied, so that this is rare.
    """
    copies = DirectoryBlobs(_beside(draft))
    missing: set[tuple[str, str]] = set()
    with _collect(kept, copies) as collecting:
        for _ in range(MAX_COPY_ATTEMPTS):
            before = missing
            source.copy_to(draft, meanwhile=partial(_hold, collecting, source.runs()))
            missing = _missing(SQLiteStore(draft, read_only=True), collecting)
            # What is missing twice was missing before the copy began.
            if missing == before or not missing:
                break
    _end_leases(draft)
    return SQLiteStore(draft, read_only=True), copies


def _collect(kept: Blobs, copies: DirectoryBlobs) -> Collecting | Fetching:
    if isinstance(kept, DirectoryBlobs):
        return Collecting(kept, copies)
    return Fetching(kept, copies)


def _end_leases(draft: Path) -> None:
    """End all leases of the copy: their workers train the original."""
    store = SQLiteStore(draft)
    for run in store.runs():
        for worker in find_holders(store.seats(run)):
            store.disown(run, worker=worker)
    store.close()


def _missing(record: SQLiteStore, collecting: Collecting | Fetching) -> set[tuple[str, str]]:
    """Keep the checkpoints that a record needs; return those that are missing."""
    return {
        (run, key)
        for run in record.runs()
        for key in collecting.keep(run, _find_wanted(record, collecting, run))
    }


def _hold(collecting: Collecting | Fetching, runs: list[str]) -> None:
    for run in runs:
        collecting.hold(run)


def _find_wanted(record: SQLiteStore, collecting: Collecting | Fetching, run: str) -> set[str]:
    view, there = Follower(record, run), collecting.there(run)
    wanted = find_files(find_needed(view.population, view.opening.keep), there)
    return wanted | there if view.opening.keep == "all" else wanted


def _check_whole(record: SQLiteStore, copies: DirectoryBlobs, store: Path) -> None:
    found = [finding.what for run in record.runs() for finding in examine(record, copies, run)]
    if wrong := [*record.check(), *found]:
        raise StoreError(
            f"a backup must be of a store that is whole, but {store} is not: {wrong[0]}. No backup "
            f"was made; `{command('doctor', [str(store)])}` lists all that is wrong"
        )


def _describe(record: SQLiteStore, copies: DirectoryBlobs, final: Path) -> Backup:
    runs = record.runs()
    sizes = [size for run in runs for size in copies.sizes(run).values()]
    whole = record.path.stat().st_size + sum(sizes)
    return Backup(path=str(final), runs=len(runs), files=len(sizes), size=whole)


def _publish(draft: Path, final: Path) -> None:
    """Move the copy to its place, checkpoints first, so that it is never seen without them."""
    sync(below for below, _, _ in os.walk(draft.parent))
    there = _beside(draft).exists()
    if there:
        _beside(draft).rename(_beside(final))
    try:
        _appear(draft, final)
    except BaseException:
        if there:
            _beside(final).rename(_beside(draft))
        raise
    sync([final.parent])


def _appear(draft: Path, final: Path) -> None:
    """Move a file to its name, unless there is a file of that name by now."""
    try:
        final.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # The file system has no hard links.
        if final.exists():
            raise
        draft.rename(final)

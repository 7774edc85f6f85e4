"""The errors of the SQLite store about its file."""

import sqlite3
from os import PathLike, fspath
from pathlib import Path

from ramet.errors import (
    CorruptStore,
    NotAStore,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnsupported,
    UnknownSchema,
)
from ramet.store.holder import Holder, holder_of

# Another process uses the file; trying again helps.
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}


def busy(error: sqlite3.Error) -> bool:
    """Say whether trying again may help."""
    return _code(error) in _BUSY


def refusal(error: sqlite3.Error, path: Path, patience_s: float) -> StoreError:
    """Return ramet's error for an error of SQLite."""
    code, said = _code(error), f"{error} ({getattr(error, 'sqlite_errorname', 'no code')})"
    if code in _BUSY:
        return store_busy(path, patience_s)
    if code in _FULL:
        return StoreFull(
            f"there must be room to write to {path}, but SQLite says: {said}. Nothing was "
            f"written; free space, or see to the disk if there is enough, and run again"
        )
    if code in _READ_ONLY:
        return StoreReadOnly(
            f"the store {path} and its folder must be open to reading and writing, but SQLite "
            f"says: {said}. Nothing was written; change their permissions, or keep the store in "
            f"another place"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_store(path, "it is not an SQLite database")
    if code in _DAMAGED:
        return corrupt(path, said)
    return StoreError(f"the store {path} must answer, but SQLite says: {said}. Nothing was written")


def unreachable(error: sqlite3.Error) -> bool:
    """Say whether the file could not be opened, mapped or locked in its place."""
    return _code(error) in {*_READ_ONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}


def not_read(error: sqlite3.Error, path: Path, patience_s: float) -> StoreError:
    """Return ramet's error for an error of SQLite during a read."""
    if _code(error) in _FULL | _READ_ONLY:
        return unreadable(path, f"SQLite says: {error} ({error.sqlite_errorname})")
    return refusal(error, path, patience_s)


def store_busy(path: Path, patience_s: float) -> StoreBusy:
    holder = holder_of(path)
    return StoreBusy(
        f"the store {path} must come free within {patience_s:g} s, but "
        f"{holder or 'another process'} kept it locked. Nothing was written; {remedy_for(holder)}. "
        f"Then run again"
    )


def looking(path: Path) -> StoreBusy:
    return StoreBusy(
        f"a store must be opened to write before or after a look at it, but {path} was to be "
        f"opened in the midst of a look by the same thread. Nothing was written; end the look first"
    )


def remedy_for(holder: Holder | None) -> str:
    """Return how to free a store of the process that holds its lock."""
    if holder is None:
        return "end what holds it (a shell left in a transaction, a backup, a stopped process)"
    if holder.stopped:
        return (
            f"that process is stopped: let it go on with `kill -CONT {holder.pid}`, or end it with "
            f"`kill -9 {holder.pid}`, which undoes what it had not committed"
        )
    return (
        f"if it does not let go by itself (a shell left in a transaction, a backup, a container "
        f"that is paused), end it with `kill {holder.pid}`"
    )


def descriptors_closed(path: Path) -> StoreError:
    return StoreError(
        f"the files of the store {path} must stay open while it is in use, but code in this "
        f"process closed their descriptors (as os.closerange does). Nothing was written; let "
        f"code close only what it opened itself"
    )


def not_a_store(path: str | PathLike[str], why: str) -> NotAStore:
    return NotAStore(
        f"a store must be a file that ramet made, or a path where there is none yet, but "
        f"{fspath(path)} is neither: {why}. It was left as it is; name another path"
    )


def corrupt(path: Path, why: str) -> CorruptStore:
    return CorruptStore(
        f"the store {path} must be whole, but it is damaged: {why}. Put a copy back, or save what "
        f"can be read with `sqlite3 {path} .recover`"
    )


def file_replaced(path: Path) -> NotAStore:
    return NotAStore(
        f"the store {path} must stay where it is while it is in use, but its file was removed or "
        f"replaced. Nothing was written; put it back, or start again"
    )


def empty(path: Path) -> NotAStore:
    return NotAStore(
        f"a store must hold what ramet recorded, but {path} is empty: no run was begun in it yet. "
        f"It was left as it is; name another path, or begin a run there"
    )


def schema_altered(path: Path, what: str) -> NotAStore:
    return NotAStore(
        f"a store must have the tables that ramet makes and nothing else, but {path} has {what}. "
        f"It was left as it is; if you added it yourself, drop it with `sqlite3 {path}`, and do "
        f"not trust the file otherwise"
    )


def log_missing(path: Path) -> CorruptStore:
    return CorruptStore(
        f"a store must be kept together with its write-ahead log, but {path}-wal was removed: "
        f"{path}-shm is there alone. What was written last may be missing from {path}. Put the "
        f"log back, or delete {path}-shm to take the file as it is once no process uses it"
    )


def log_lost(path: Path, *, kept: bool) -> CorruptStore:
    still = (
        f"All that was written is in {path}"
        if kept
        else f"What was written last may be missing from {path}; `ramet doctor` says if it is whole"
    )
    return CorruptStore(
        f"the write-ahead log {path}-wal must stay where it is while the store is in use, but it "
        f"was removed or replaced. {still}. Run again to go on, and use `ramet backup` for copies"
    )


def only_read(path: Path) -> StoreReadOnly:
    return StoreReadOnly(
        f"a store that is looked at must not be written, but something was to be written to "
        f"{path}. Nothing was; open it with ramet.run, ramet.open or SQLiteStore(path) to write"
    )


def unreadable(path: Path, why: str) -> StoreError:
    return StoreError(
        f"a store must be open to reading, but {path} cannot be read: {why}. Nothing was changed; "
        f"see to its permissions, those of its folder, and the disk"
    )


def newer(path: Path, version: int, known: int) -> UnknownSchema:
    return UnknownSchema(
        f"stores of schema {known} and older can be read, but {path} is of schema {version}. It "
        f"was left as it is; open it with the version of ramet that wrote it"
    )


def no_folder(path: Path, error: OSError) -> StoreReadOnly:
    return StoreReadOnly(
        f"the folder of the store {path} must be there or be made, but {error}. Nothing was "
        f"written; name another path"
    )


def no_wal(path: Path, mode: str) -> StoreUnsupported:
    return StoreUnsupported(
        f"the store {path} must be on a file system where processes share memory (SQLite's "
        f"write-ahead log), but SQLite falls back to {mode!r} there. Network file systems cannot "
        f"have it; keep the store on a disk of this machine"
    )


def old_library(needed: tuple[int, ...]) -> StoreUnsupported:
    return StoreUnsupported(
        f"the store needs SQLite {'.'.join(map(str, needed))} or later, but this Python has "
        f"{sqlite3.sqlite_version}; use a newer Python"
    )


def _code(error: sqlite3.Error) -> int | None:
    # Errors of Python's own module have none.
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF

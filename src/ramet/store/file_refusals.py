"""What the SQLite store says when its file refuses, and which exception says it."""

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

# Somebody else is at the file; it passes.
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}


def busy(error: sqlite3.Error) -> bool:
    """Say whether trying again may help."""
    return _code(error) in _BUSY


def refusal(error: sqlite3.Error, path: Path, patience_s: float) -> StoreError:
    """Return what ramet raises for what SQLite did."""
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


def store_busy(path: Path, patience_s: float) -> StoreBusy:
    holder = holder_of(path)
    return StoreBusy(
        f"the store {path} must come free within {patience_s:g} s, but "
        f"{holder or 'another process'} kept it locked. Nothing was written; {freed_by(holder)}. "
        f"Then run again"
    )


def freed_by(holder: Holder | None) -> str:
    """Return what frees a store of the process that holds its lock."""
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
        f"{_shown(path)} is neither: {why}. It was left as it is; name another path"
    )


def _shown(path: str | PathLike[str]) -> str:
    """Return a path, with escapes if it cannot be printed."""
    text = fspath(path)
    return text if text.isprintable() else repr(text)


def corrupt(path: Path, why: str) -> CorruptStore:
    return CorruptStore(
        f"the store {path} must be whole, but it is damaged: {why}. Put a copy back, or save what "
        f"can be read with `sqlite3 {path} .recover`"
    )


def replaced(path: Path) -> NotAStore:
    return NotAStore(
        f"the store {path} must stay where it is while it is in use, but its file was removed or "
        f"replaced. Nothing was written; put it back, or start again"
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
    # What Python itself finds wrong has none.
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF

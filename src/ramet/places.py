"""Where a run is kept: from what users write to a store and the blobs beside it."""

import math
import tempfile
import weakref
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

from ramet.blobs import Blobs, DirectoryBlobs, MemoryBlobs
from ramet.errors import RunNotFound, StoreError
from ramet.store import MemoryStore, SQLiteStore, Store

Durability: TypeAlias = Literal["power", "process"]

# What every store answers to, also one that passes the verbs on to another.
VERBS = [name for name in vars(Store) if not name.startswith("_")]
BLOB_VERBS = [name for name in vars(Blobs) if not name.startswith("_")]
# Behind the store's file name, as SQLite's own companions are named.
CHECKPOINTS = "-checkpoints"
# How the folders of temporary files begin.
TEMPORARY = "ramet-"
# How long those who train nothing wait for a store that others keep locked.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store, and where the checkpoints of its runs are."""

    store: Store
    blobs: Blobs
    # What it is called in what people are told; None where nobody could find it again.
    name: str | None

    # Whether the store was opened here, and by nobody else.
    ours: bool = False

    @property
    def private(self) -> bool:
        """Whether nobody else can ever be at work here."""
        return self.name is None and isinstance(self.store, MemoryStore)

    def chosen(self, name: str | None) -> str:
        """Return the name of the run that is meant, which may be left out if it is the only one."""
        names = self.store.runs()
        if name is None and len(names) == 1:
            return names[0]
        if name is not None and name in names:
            return name
        there = f"{self.name} has " + (", ".join(map(repr, names)) or "no runs yet")
        if name is None:
            raise RunNotFound(f"a run must be named unless it is the only one, but {there}")
        raise RunNotFound(f"a run must be in the store, but {name!r} is not: {there}")

    def close(self) -> None:
        """Leave a file of ours in one piece; it is opened again if it is needed."""
        if self.ours and isinstance(self.store, SQLiteStore):
            self.store.close()


def place(
    store: Store | str | PathLike[str] | None,
    blobs: Blobs | None = None,
    *,
    durability: Durability = "power",
    shared: bool = False,
    read_only: bool = False,
) -> Place:
    """Return where a run is kept; ``shared`` with other processes, if need be in a temporary file.

    >>> place(MemoryStore)
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: a store must be the path of a file, None, or a Store, but got \
<class 'ramet.store.memory.MemoryStore'>
    """
    if durability not in ("power", "process"):
        raise StoreError(f"durability must be 'power' or 'process', but got {durability!r}")
    if blobs is not None and not _answers(blobs, BLOB_VERBS):
        raise StoreError(
            f"blobs must be Blobs, such as DirectoryBlobs('checkpoints'), or None, but got "
            f"{blobs!r}"
        )
    if shared and (isinstance(store, MemoryStore) or isinstance(blobs, MemoryBlobs)):
        alone = store if isinstance(store, MemoryStore) else blobs
        raise StoreError(
            f"worker processes must share their store and blobs, but {type(alone).__name__} lives "
            f"in one process; pass the path of a file, as in store='runs.db', and no blobs"
        )
    if store is None:
        return _temporary(blobs) if shared else _in_memory(blobs)
    if isinstance(store, str | PathLike):
        return _in_file(Path(fspath(store)), blobs, durability, read_only=read_only)
    if not _answers(store, VERBS):
        raise StoreError(f"a store must be the path of a file, None, or a Store, but got {store!r}")
    if blobs is None:
        raise StoreError(
            "a store of your own must come with the blobs= that hold its checkpoints, or no run in "
            "it could be gone on with; pass MemoryBlobs() with a MemoryStore(), the same ones again"
        )
    return Place(store=store, blobs=blobs, name=repr(store))


def file_of(store: Store) -> Path | None:
    """Return the file that a store is in, if it is in one that stays."""
    if not isinstance(store, SQLiteStore):
        return None
    folder = store.path.parent
    passes = folder.name.startswith(TEMPORARY) and folder.parent.samefile(tempfile.gettempdir())
    return None if passes else store.path


def existing(
    path: str | PathLike[str], *, read_only: bool = True, patience_s: float = PATIENCE_S
) -> Place:
    """Open a store that must be there, to be looked at or else to be written as well.

    Waits so long for others that keep it locked.
    """
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(
            f"a store must be where it is looked for, but {path} does not exist"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: no file can have this name.
        raise StoreError(f"a store must be a file that can be read, but {error}") from error
    # A file that is no store yet does not become one.
    looked_at = place(path, read_only=True)
    if read_only:
        return looked_at
    return _in_file(Path(fspath(path)), None, "power", patience_s=patience_s)


def _answers(thing: object, verbs: list[str]) -> bool:
    """Say whether a thing, and no mere class, has all of some methods."""
    return not isinstance(thing, type) and all(
        callable(getattr(thing, verb, None)) for verb in verbs
    )


def _in_memory(blobs: Blobs | None) -> Place:
    return Place(store=MemoryStore(), blobs=MemoryBlobs() if blobs is None else blobs, name=None)


def _in_file(
    path: Path,
    blobs: Blobs | None,
    durability: Durability,
    *,
    patience_s: float = math.inf,
    read_only: bool = False,
) -> Place:
    # First, because it refuses "." and other paths that no file can have.
    store = SQLiteStore(path, durability=durability, patience_s=patience_s, read_only=read_only)
    beside = path.with_name(path.name + CHECKPOINTS)
    return Place(
        store=store,
        blobs=DirectoryBlobs(beside, durability=durability) if blobs is None else blobs,
        name=str(path),
        ours=True,
    )


def _temporary(blobs: Blobs | None) -> Place:
    """Return a place that goes when its checkpoints can no longer be asked for."""
    folder = tempfile.TemporaryDirectory(prefix=TEMPORARY)
    made = _in_file(Path(folder.name) / "runs.db", blobs, "process")
    weakref.finalize(made.store if blobs else made.blobs, folder.cleanup)
    return Place(store=made.store, blobs=made.blobs, name=None, ours=True)

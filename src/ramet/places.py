"""Where a run is kept: the store that records it, and the blobs that hold its checkpoints."""

import math
import tempfile
import weakref
from dataclasses import KW_ONLY, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias, get_args

from ramet.blobs import Blobs, DirectoryBlobs, MemoryBlobs, ObjectBlobs
from ramet.blobs.directory import Durability
from ramet.blobs.opening import find_pointed, open_blobs, remember
from ramet.errors import RunNotFound, StoreError, StrategyError
from ramet.events import Keep
from ramet.store import MemoryStore, SQLiteStore, Store
from ramet.store.base import Closable
from ramet.store.choosing import find_sole
from ramet.store.postgres.address import Address, find_address

# What every store answers to, also one that passes the verbs on to another.
VERBS = [name for name in vars(Store) if not name.startswith("_")]
BLOB_VERBS = [name for name in vars(Blobs) if not name.startswith("_")]
NEEDS_FOLDER = (
    "a run in a database must say where its checkpoints are kept, but {address} does not; name a "
    "folder that all workers reach: store=ramet.Storage(url, blobs=DirectoryBlobs(folder)), or "
    "?blobs=/the/folder at the end of the URL"
)
# Behind the store's file name, as SQLite's own companions are named.
CHECKPOINTS = "-checkpoints"
NEEDS_BLOBS = (
    "a store of your own must come with the blobs= that hold its checkpoints, or no run in it "
    "could be resumed: store=ramet.Storage(store, blobs=...); pass MemoryBlobs() with a "
    "MemoryStore(), the same ones again"
)
# How the folders of temporary files begin.
TEMPORARY = "ramet-"
# How long commands that train nothing wait for a store that others keep locked.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a run is kept, and how much of it.

    ``ramet.run(..., store="runs.db")`` is short for ``store=ramet.Storage("runs.db")``.

    >>> Storage("runs.db", durability="disk")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: durability must be 'power' or 'process', but got 'disk'

    Args:
        store: The path of a file that records any number of runs, with a folder of checkpoints
            beside it; the URL of a PostgreSQL database, as in ``"postgresql://user@host/database"``
            (``PostgresStore``); or a ``Store`` of your own. None keeps the run in memory, or with
            worker processes in a temporary file.
        blobs: Where checkpoints are kept, if not beside the file. A ``Store`` of your own needs
            this. A database needs it once, and then remembers the folder or URL. A URL such as
            ``"s3://bucket/prefix"`` stands for ``ObjectBlobs``. It is remembered beside the file.
        durability: What an ended turn survives: with "power" also a power failure, with "process"
            only the end of the process, which is faster.
        keep: Which checkpoints stay: "lineage" keeps those of all members and the best; "live" only
            the members'; "best" only the best, once the run is over; "all" every one. With None, a
            run on record keeps its setting, and a new run has "lineage", or "all" if its
            checkpoints outlast its record.
    """

    store: Store | str | PathLike[str] | None = None
    _: KW_ONLY
    blobs: Blobs | str | PathLike[str] | None = None
    durability: Durability = "power"
    keep: Keep | None = None

    def __post_init__(self) -> None:
        if self.durability not in get_args(Durability):
            raise StoreError(
                f"durability must be 'power' or 'process', but got {self.durability!r}"
            )
        _check_blobs(self.blobs)
        if self.keep is not None and self.keep not in get_args(Keep):
            raise StrategyError(f"keep must be one of {get_args(Keep)}, but got {self.keep!r}")
        _check_store(self.store, self.blobs)

    @classmethod
    def of(cls, store: "Storage | Store | str | PathLike[str] | None") -> "Storage":
        """Return what the argument ``store`` of ``ramet.run`` stands for.

        Args:
            store: A path, a ``Store``, None, or all settings as a ``Storage``.
        """
        return store if isinstance(store, Storage) else cls(store)

    @property
    def opened_blobs(self) -> Blobs | None:
        """The blobs, opened if they are given by their URL."""
        if isinstance(self.blobs, str | PathLike):
            return open_blobs(fspath(self.blobs), durability=self.durability)
        return self.blobs

    @property
    def kept(self) -> Keep | None:
        """The checkpoints to keep: all of them if no record outlasts this process."""
        lonely = self.store is None and self.blobs is not None
        return "all" if self.keep is None and lonely else self.keep


# What the argument ``store`` of ``ramet.run`` may be.
StoreLike: TypeAlias = Storage | Store | str | PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A store, and where the checkpoints of its runs are."""

    store: Store
    blobs: Blobs
    # What messages call it; None if it is gone with this process.
    name: str | None

    # Whether this process opened the store for itself.
    ours: bool = False

    @property
    def private(self) -> bool:
        """Whether no other process can ever work here."""
        return self.name is None and isinstance(self.store, MemoryStore)

    def choose(self, name: str | None) -> str:
        """Return the name of a run that is in the store.

        Args:
            name: The name; None stands for the only run, without its replays.
        """
        names = self.store.runs()
        if name is None and (sole := find_sole(self.store, names)) is not None:
            return sole
        if name is not None and name in names:
            return name
        there = f"{self.name} has " + (", ".join(map(repr, names)) or "no runs yet")
        if name is None:
            raise RunNotFound(
                f"a run must be named unless it is the only one, or the others are its replays, "
                f"but {there}"
            )
        raise RunNotFound(f"a run must be in the store, but {name!r} is not: {there}")

    def close(self) -> None:
        """Close a store that this process opened; it is opened again when it is needed."""
        if self.ours and isinstance(self.store, Closable):
            self.store.close()


def place(store: StoreLike, *, shared: bool = False, read_only: bool = False) -> Place:
    """Open the store and the checkpoints of a run.

    >>> place(MemoryStore)
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: a store must be the path of a file, None, or a Store, but got \
<class 'ramet.store.memory.MemoryStore'>

    Args:
        store: What users pass as ``store``.
        shared: Whether other processes must be able to open it; without a path it is then a
            temporary file.
        read_only: Whether nothing is written to the file.
    """
    storage = Storage.of(store)
    if shared:
        _check_shared(storage)
    blobs = storage.opened_blobs
    if storage.store is None:
        return _make_temporary(blobs) if shared else _make_in_memory(blobs)
    if isinstance(storage.store, str | PathLike):
        if (address := find_address(storage.store)) is not None:
            return _open_database(address, blobs, storage.durability, read_only=read_only)
        path = Path(fspath(storage.store))
        return _open_file(path, blobs, storage.durability, read_only=read_only)
    if blobs is None:
        raise StoreError(NEEDS_BLOBS)
    return Place(store=storage.store, blobs=blobs, name=repr(storage.store))


def _check_blobs(blobs: object) -> None:
    """Refuse what are no blobs, and paths and URLs that cannot be those of any."""
    if isinstance(blobs, str | PathLike):
        open_blobs(fspath(blobs))
    elif blobs is not None and not _answers(blobs, BLOB_VERBS):
        raise StoreError(
            f"blobs must be Blobs, such as DirectoryBlobs('checkpoints'), a folder, a URL such as "
            f"'s3://bucket/prefix', or None, but got {blobs!r}"
        )


def _check_store(store: object, blobs: Blobs | str | PathLike[str] | None) -> None:
    """Refuse what is no store, and a store of the user's own without checkpoints."""
    if store is None or isinstance(store, str | PathLike):
        return
    lacking = [verb for verb in VERBS if not _answers(store, [verb])]
    if lacking:
        # What lacks all of them is no store at all.
        lacks = f", which lacks {', '.join(lacking)}" if len(lacking) < len(VERBS) else ""
        raise StoreError(
            f"a store must be the path of a file, None, or a Store, but got {store!r}{lacks}"
        )
    if blobs is None:
        raise StoreError(NEEDS_BLOBS)


def _check_shared(storage: Storage) -> None:
    """Refuse a store or blobs in memory where other processes must reach them."""
    for kept, in_memory in ((storage.store, MemoryStore), (storage.blobs, MemoryBlobs)):
        if isinstance(kept, in_memory):
            raise StoreError(
                f"worker processes must share their store and blobs, but {type(kept).__name__} "
                f"lives in one process; pass the path of a file, as in store='runs.db', and no "
                f"blobs"
            )


def file_of(store: Store) -> Path | None:
    """Return the file of a store, unless it is a temporary one or none.

    Args:
        store: The store.
    """
    if not isinstance(store, SQLiteStore):
        return None
    folder = store.path.parent
    passes = folder.name.startswith(TEMPORARY) and folder.parent.samefile(tempfile.gettempdir())
    return None if passes else store.path


def writable(store: Store) -> Store:
    """Return a store that can be written to: the same, unless it was opened for reading only.

    Args:
        store: The store, as a result has it.
    """
    if isinstance(store, SQLiteStore) and store.read_only:
        return SQLiteStore(store.path)
    return store


def existing(
    path: str | PathLike[str],
    *,
    blobs: Blobs | None = None,
    read_only: bool = True,
    patience_s: float = PATIENCE_S,
) -> Place:
    """Open a store that must exist.

    Args:
        path: The file, or the URL of a database.
        blobs: Where its checkpoints are, if the store does not say that.
        read_only: Whether nothing is written to it.
        patience_s: Seconds to wait while other processes keep it locked.
    """
    if (address := find_address(path)) is not None:
        return _open_database(address, blobs, "power", patience_s=patience_s, read_only=True)
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(
            f"a store must be where it is looked for, but {path} does not exist"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: no file can have this name.
        raise StoreError(f"a store must be a file that can be read, but {error}") from error
    # Reading does not turn another file into a store.
    opened = place(Storage(path, blobs=blobs), read_only=True)
    if read_only:
        return opened
    return _open_file(Path(fspath(path)), blobs, "power", patience_s=patience_s)


def _answers(thing: object, verbs: list[str]) -> bool:
    """Say whether an object, not a class, has all of these methods."""
    return not isinstance(thing, type) and all(
        callable(getattr(thing, verb, None)) for verb in verbs
    )


def _make_in_memory(blobs: Blobs | None) -> Place:
    return Place(store=MemoryStore(), blobs=MemoryBlobs() if blobs is None else blobs, name=None)


def _open_file(
    path: Path,
    blobs: Blobs | None,
    durability: Durability,
    *,
    patience_s: float = math.inf,
    read_only: bool = False,
) -> Place:
    # First, because it refuses "." and other paths that no file can have.
    store = SQLiteStore(path, durability=durability, patience_s=patience_s, read_only=read_only)
    if blobs is None:
        beside = path.with_name(path.name + CHECKPOINTS)
        blobs = find_pointed(path) or DirectoryBlobs(beside, durability=durability)
    elif not read_only:
        remember(blobs, path)
    return Place(
        store=store,
        blobs=blobs,
        name=str(path),
        ours=True,
    )


def _open_database(
    address: Address,
    blobs: Blobs | None,
    durability: Durability,
    *,
    patience_s: float = math.inf,
    read_only: bool = False,
) -> Place:
    """Open a database, which remembers in which folder, or at which URL, the checkpoints are.

    If ``read_only``, its tables must exist.
    """
    from ramet.store import PostgresStore  # noqa: PLC0415 - an extra

    store = PostgresStore(
        address, durability=durability, patience_s=patience_s, read_only=read_only
    )
    recorded = store.blobs()
    if blobs is None:
        if (kept := address.blobs or recorded) is None:
            raise StoreError(NEEDS_FOLDER.format(address=address))
        blobs = open_blobs(kept, durability=durability)
    if not read_only and recorded is None:
        if isinstance(blobs, DirectoryBlobs):
            store.remember_blobs(str(blobs.path))
        elif isinstance(blobs, ObjectBlobs):
            store.remember_blobs(blobs.url)
    return Place(store=store, blobs=blobs, name=address.name, ours=True)


def _make_temporary(blobs: Blobs | None) -> Place:
    """Return a place that is deleted when its checkpoints can no longer be read."""
    folder = tempfile.TemporaryDirectory(prefix=TEMPORARY)
    made = _open_file(Path(folder.name) / "runs.db", blobs, "process")
    weakref.finalize(made.store if blobs else made.blobs, folder.cleanup)
    return Place(store=made.store, blobs=made.blobs, name=None, ours=True)

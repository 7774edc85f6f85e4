"""State trees: nested dicts, lists and tuples of NumPy arrays of numbers, numbers, text and bytes.

A checkpoint holds one. Nothing else can be in it, so nothing in it ever needs to be unpickled.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from ramet.errors import StateError

# The whole truth is in the module's docstring; a recursive alias would help no reader.
Tree: TypeAlias = Any

LEAVES = {bool, int, float, complex, str, bytes}
# Not their subclasses: a masked array, say, would lose its mask.
ARRAYS = {np.ndarray, np.memmap}
USER_DEFINED = 2


def freeze(tree: Tree) -> Tree:
    """Return a copy that later training cannot touch, or say where something is not of a tree.

    >>> freeze({"layers": [{"w": {1, 2}}]})
    Traceback (most recent call last):
        ...
    ramet.errors.StateError: a state must be made of dicts, lists, tuples, arrays of numbers, \
numbers, strings, bytes and None, but state['layers'][0]['w'] is of type set; leave it out, or \
hand over an object with capture() and restore(tree); draws come from turn.rng, whatever the state
    """
    try:
        return _copied(tree, "state", writable=False)
    except RecursionError:
        raise StateError("a state must be a tree, but this one holds itself") from None


def thaw(tree: Tree) -> Tree:
    """Return a copy of a frozen tree that training may write on."""
    return _copied(tree, "state", writable=True)


def restore_into(live: dict[Any, Any], saved: dict[Any, Any]) -> None:
    """Make a live dict equal to a saved one, in the same arrays where shapes and dtypes allow.

    >>> live = {"w": np.zeros(2)}
    >>> held_elsewhere = live["w"]
    >>> restore_into(live, {"w": np.ones(2)})
    >>> held_elsewhere
    array([1., 1.])
    """
    for key in [key for key in live if key not in saved]:
        del live[key]
    for key, value in saved.items():
        # Taken out and put back, for the order that the saved one has.
        live[key] = _merged(live.pop(key, None), value)


def digest(tree: Tree) -> str:
    """Return a name for a tree's content, the order of its keys included."""
    hashed = hashlib.blake2b(digest_size=20)
    for part in _parts(tree):
        hashed.update(part)
    return hashed.hexdigest()


def _copied(tree: Tree, path: str, *, writable: bool) -> Tree:
    kind = type(tree)
    if isinstance(tree, dict):
        return {
            _key(key, path): _copied(value, f"{path}[{key!r}]", writable=writable)
            for key, value in tree.items()
        }
    if kind is list or kind is tuple:
        return kind(
            _copied(value, f"{path}[{place}]", writable=writable)
            for place, value in enumerate(tree)
        )
    if kind in ARRAYS and _is_numeric(tree.dtype):
        array = np.array(tree, order="C", subok=False)
        array.flags.writeable = writable
        return array
    if tree is None or kind in LEAVES or (isinstance(tree, np.generic) and _is_numeric(tree.dtype)):
        return tree
    what = f"an array of {tree.dtype}" if kind in ARRAYS else f"of type {kind.__name__}"
    raise StateError(
        f"a state must be made of dicts, lists, tuples, arrays of numbers, numbers, strings, bytes "
        f"and None, but {path} is {what}; leave it out, or hand over an object with capture() and "
        f"restore(tree); draws come from turn.rng, whatever the state"
    )


def _is_numeric(dtype: np.dtype) -> bool:
    # Numbers of other packages, bfloat16 for one, are user-defined types.
    return dtype.kind in "biufc" or dtype.isbuiltin == USER_DEFINED


def _key(key: object, path: str) -> object:
    if type(key) in {str, int}:
        return key
    raise StateError(
        f"a state's dicts must have strings or whole numbers as keys, but {path} has {key!r}"
    )


def _merged(live: Any, saved: Tree) -> Any:
    if isinstance(live, dict) and isinstance(saved, dict):
        restore_into(live, saved)
        return live
    if (
        isinstance(live, np.ndarray)
        and isinstance(saved, np.ndarray)
        and live.flags.writeable
        and (live.shape, live.dtype) == (saved.shape, saved.dtype)
    ):
        np.copyto(live, saved)
        return live
    if isinstance(live, list) and isinstance(saved, list) and len(live) == len(saved):
        live[:] = [_merged(mine, theirs) for mine, theirs in zip(live, saved, strict=True)]
        return live
    return thaw(saved)


def _parts(tree: Tree) -> Iterator[bytes | memoryview]:
    """Yield what tells a tree from every other: each part's kind and length, then its content."""
    if isinstance(tree, dict):
        yield b"dict%d:" % len(tree)
        for key, value in tree.items():
            yield from _parts(key)
            yield from _parts(value)
    elif isinstance(tree, list | tuple):
        yield b"%s%d:" % (type(tree).__name__.encode(), len(tree))
        for value in tree:
            yield from _parts(value)
    elif isinstance(tree, np.ndarray | np.generic):
        yield f"{type(tree).__name__}{np.dtype(tree.dtype).str}{tree.shape}:".encode()
        yield np.ascontiguousarray(tree).tobytes()
    else:
        text = tree if isinstance(tree, bytes) else repr(tree).encode()
        yield b"%s%d:" % (type(tree).__name__.encode(), len(text))
        yield text

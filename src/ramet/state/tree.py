"""State trees: nested dicts, lists and tuples of NumPy arrays of numbers, numbers, text and bytes.

A generator of NumPy's is one too: copied like an array, and restored in place.

A checkpoint holds one. Nothing else can be in it, so nothing in it ever needs to be unpickled. An
array, dict or list that is at several places of a tree is one object at all of them, and stays so.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramet.errors import StateError
from ramet.state import generators
from ramet.state.dtypes import is_number
from ramet.state.remedies import remedy_for

# See the module's docstring; a recursive alias would help no reader.
Tree: TypeAlias = Any
# The keys and places that lead to a part of a tree.
Path: TypeAlias = tuple[str | int, ...]

LEAVES = {type(None), bool, int, float, complex, str, bytes}
# Not their subclasses: a masked array, say, would lose its mask.
ARRAYS = {np.ndarray, np.memmap}
# What to keep in place of what a tree cannot hold, by the name of its type.
INSTEAD = {
    "deque": "keep list(it), and make a deque of that again",
    "set": "keep sorted(it)",
    "frozenset": "keep sorted(it)",
    "Tensor": "keep its numbers as an array, or hand the tensor to ramet.torch.State by itself",
    "Random": "draw from np.random.default_rng(seed), which a state can hold",
    "RandomState": "draw from np.random.default_rng(seed), which a state can hold",
}
LAW = (
    "a state must be made of dicts, lists, tuples, arrays of numbers, numbers, strings, bytes, "
    "generators of NumPy and None"
)
# Far more than states have, and far less than Python's stack.
DEPTH = 100
UNFINISHED = object()


def freeze(tree: Tree) -> Tree:
    """Return a read-only copy of ``tree``; raise StateError if something in it is not allowed.

    >>> freeze({"layers": [{"w": {1, 2}}]})
    Traceback (most recent call last):
        ...
    ramet.errors.StateError: a state must be made of dicts, lists, tuples, arrays of numbers, \
numbers, strings, bytes, generators of NumPy and None, but state['layers'][0]['w'] is of type \
set; keep sorted(it), leave it out, or hand over an object with capture() and restore(tree)
    """
    return _Rebuilding(_freeze_array, generator=_revive).of(tree)


def thaw(tree: Tree) -> Tree:
    """Return a writable copy of a frozen ``tree``."""
    return _Rebuilding(_writable, generator=_revive).of(tree)


def check_tree(tree: Tree) -> Tree:
    """Return the tree with new containers and the same arrays, or raise StateError.

    Generators become dicts of their states, as bytes hold them.
    """
    return map_arrays(np.asarray, tree)


def map_arrays(function: Callable[[NDArray[Any]], NDArray[Any]], tree: Tree) -> Tree:
    """Return the tree with new containers, and what a function makes of each of its arrays."""
    return _Rebuilding(function).of(tree)


def restore_into(live: dict[Any, Any], saved: dict[Any, Any]) -> None:
    """Make a live dict equal to a saved one, in the same arrays where shapes and dtypes allow.

    >>> live = {"w": np.zeros(2)}
    >>> held_elsewhere = live["w"]
    >>> restore_into(live, {"w": np.ones(2)})
    >>> held_elsewhere
    array([1., 1.])
    """
    homes = _Homes()
    homes.pair(live, saved)
    _Rebuilding(homes.array, homes.container, homes.generator).of(saved)


class _Rebuilding:
    """Rebuilds a tree in one pass, and each shared object only once."""

    def __init__(
        self,
        array: Callable[[NDArray[Any]], NDArray[Any]],
        container: Callable[[Tree, Tree], Tree] = lambda _, made: made,
        generator: Callable[[Tree, Tree], Tree] = lambda _, made: made,
    ) -> None:
        self._array, self._container, self._generator = array, container, generator
        # By identity, with the original, so that no later object can get the same identity.
        self._made: dict[int, tuple[Tree, Tree]] = {}

    def of(self, tree: Tree, path: Path = ()) -> Tree:
        kind = type(tree)
        if kind in LEAVES or (isinstance(tree, np.generic) and is_number(tree.dtype)):
            return tree
        if len(path) > DEPTH:
            raise StateError(f"a state must be at most {DEPTH} deep, but {_show(path)} is deeper")
        if kind is tuple:
            return tuple(self._parts(tree, path))
        if id(tree) not in self._made:
            self._made[id(tree)] = tree, UNFINISHED
            self._made[id(tree)] = tree, self._rebuild(tree, path)
        _, made = self._made[id(tree)]
        if made is UNFINISHED:
            raise StateError(f"a state must be a tree, but {_show(path)} holds itself")
        return made

    def _rebuild(self, tree: Tree, path: Path) -> Tree:
        kind = type(tree)
        if isinstance(tree, np.random.Generator):
            return self._generator(tree, self._rebuild_dict(generators.save(tree), path))
        if generators.is_saved(tree):
            return self._generator(tree, self._rebuild_dict(tree, path))
        if isinstance(tree, dict):
            return self._container(tree, self._rebuild_dict(tree, path))
        if kind is list:
            return self._container(tree, list(self._parts(tree, path)))
        if kind in ARRAYS and is_number(tree.dtype):
            return self._array(tree)
        what = f"an array of {tree.dtype}" if kind in ARRAYS else f"of type {kind.__name__}"
        if (remedy := remedy_for(tree)) is not None:
            raise StateError(f"{LAW}, but {_show(path)} is {what}; {remedy}")
        instead = f"{INSTEAD[kind.__name__]}, " if kind.__name__ in INSTEAD else ""
        raise StateError(
            f"{LAW}, but {_show(path)} is {what}; {instead}leave it out, or hand over an object "
            f"with capture() and restore(tree)"
        )

    def _rebuild_dict(self, tree: dict[Any, Tree], path: Path) -> dict[str | int, Tree]:
        return {_key(key, path): self.of(part, (*path, key)) for key, part in tree.items()}

    def _parts(self, tree: list[Tree] | tuple[Tree, ...], path: Path) -> Iterator[Tree]:
        return (self.of(part, (*path, place)) for place, part in enumerate(tree))


class _Homes:
    """Which live object each saved object is restored into, one to one."""

    def __init__(self) -> None:
        self._homes: dict[int, Tree] = {}
        # Held, so that no other object gets their identity.
        self._taken: dict[int, Tree] = {}

    def pair(self, live: Tree, saved: Tree) -> None:
        """Pair saved objects with the first live object at their places that fits."""
        if not _fits(live, saved):
            return
        if id(saved) not in self._homes and id(live) not in self._taken:
            self._homes[id(saved)] = self._taken[id(live)] = live
        if isinstance(saved, dict):
            for key in [key for key in saved if key in live]:
                self.pair(live[key], saved[key])
        elif isinstance(saved, list | tuple):
            for mine, theirs in zip(live, saved, strict=False):
                self.pair(mine, theirs)

    def generator(self, saved: Tree, made: Tree) -> np.random.Generator:
        home, source = self._homes.get(id(saved)), generators.revive(made)
        return source if home is None else generators.restore(home, source)

    def array(self, saved: NDArray[Any]) -> NDArray[Any]:
        home: NDArray[Any] | None = self._homes.get(id(saved))
        if home is None:
            return _writable(saved)
        np.copyto(home, saved)
        return home

    def container(self, saved: Tree, made: Tree) -> Tree:
        home = self._homes.get(id(saved))
        if home is None:
            return made
        home.clear()
        (home.update if isinstance(home, dict) else home.extend)(made)
        return home


def _fits(live: Tree, saved: Tree) -> bool:
    if isinstance(live, np.random.Generator) and isinstance(saved, np.random.Generator):
        return generators.kind_of(live) == generators.kind_of(saved)
    if isinstance(live, np.ndarray) and isinstance(saved, np.ndarray):
        same = (live.shape, live.dtype) == (saved.shape, saved.dtype)
        return same and live.flags.writeable
    return any(isinstance(live, kind) and isinstance(saved, kind) for kind in (dict, list, tuple))


def _revive(_: Tree, made: Tree) -> np.random.Generator:
    return generators.revive(made)


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    return np.array(array, order="C", subok=False)


def _freeze_array(array: NDArray[Any]) -> NDArray[Any]:
    copy = _writable(array)
    copy.flags.writeable = False
    return copy


def _key(key: object, path: Path) -> str | int:
    if isinstance(key, str | int) and type(key) in {str, int}:
        return key
    raise StateError(
        f"a state's dicts must have strings or whole numbers as keys, but {_show(path)} has {key!r}"
    )


def _show(path: Path) -> str:
    return "state" + "".join(f"[{part!r}]" for part in path)

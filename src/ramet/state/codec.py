"""State trees as bytes and back, in the layout of safetensors.

Eight bytes give the length of a header, the header is JSON, and then come the arrays' own bytes
without holes; the tree around them is JSON too, in the header's metadata. Any reader of safetensors
opens it, and none ever executes anything. https://huggingface.co/docs/safetensors

Numbers are little-endian; arrays in another order of bytes come back with equal values in this one.
Dicts of other kinds come back as dicts. Two arrays that are views of one memory are two arrays.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ramet.digest import Buffer
from ramet.errors import CheckpointDamaged, StateError
from ramet.layout import (
    FIRST,
    LONGEST_HEADER,
    METADATA,
    Header,
    Tensor,
    check_size,
    header_end,
    read_header,
)
from ramet.state import generators
from ramet.state.dtypes import STORED, dtype_named, little_endian, name_of
from ramet.state.outline import (
    SAFE,
    Array,
    Listed,
    Long,
    Mapped,
    Node,
    Outline,
    Packed,
    Same,
    Tupled,
    Version,
    is_plain,
    pack,
    unpack,
)
from ramet.state.tree import DEPTH, UNFINISHED, Path, Tree, check_tree

# Incremented when readers of the previous version could not read the new one.
VERSION = 1
OUTLINE = "ramet.state"
# Of a stack, its number of rows; the outline is that of each row.
STACK = "ramet.stack"
# Of the arrays in a file, in bytes.
ALIGNMENT = 64
# Longer bytes become a tensor of their own.
LONG_BYTES = 1024
# Of an error about damaged bytes, which may quote them.
SHOWN_CHARACTERS = 300
# Longer headers are not cached.
CACHED_BYTES = 1 << 20
# Types of objects that stay one object, however often they are in a tree.
SHARED = {dict, list, np.ndarray}


def encode(tree: Tree, **about: str) -> list[Buffer]:
    """Return a tree as bytes, in chunks of which all but the first are the arrays' own memory.

    Equal trees give equal bytes. ``about`` is metadata for other readers; it changes the bytes, and
    with them their digest.

    >>> header, weights = encode({"w": np.zeros(2)})
    >>> len(header) % 64, len(weights)
    (0, 16)
    """
    outline, held = lay_out(check_tree(tree))
    metadata = {name: _printable(text) for name, text in about.items()}
    tensors = {name: describe(array) for name, array in held.items()}
    first = write_header({**metadata, OUTLINE: outline}, tensors)
    return [first, *map(raw, held.values())]


def lay_out(tree: Tree) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the outline of a checked tree as text, and its arrays by name, the widest first.

    So the numbers of none are at an odd place.
    """
    gathering = _Gathering()
    outline = Outline(VERSION, gathering.node(tree, ()))
    held = dict(sorted(gathering.held.items(), key=lambda item: -item[1].dtype.itemsize))
    return msgspec.json.encode(outline).decode(), held


def describe(array: NDArray[Any]) -> Tensor:
    """Return how a file describes an array that is the first in it."""
    shape = [*array.shape, 2] if array.dtype.kind == "c" else list(array.shape)
    return Tensor(STORED[name_of(array.dtype)], shape, (0, array.nbytes))


def write_header(metadata: dict[str, str], tensors: dict[str, Tensor]) -> bytes:
    """Return the first bytes of a file in which tensors follow each other, in this order."""
    header: dict[str, Any] = {METADATA: metadata}
    at = 0
    for name, tensor in tensors.items():
        begin, end = tensor.data_offsets
        header[name] = Tensor(tensor.dtype, tensor.shape, (at, at := at + end - begin))
    text = msgspec.json.encode(header)
    text += b" " * (-(FIRST + len(text)) % ALIGNMENT)
    if len(text) > LONGEST_HEADER:
        raise StateError(
            f"what a state holds beside its arrays must fit into {LONGEST_HEADER:,} bytes of JSON, "
            f"but it takes {len(text):,}; keep long lists of numbers as arrays"
        )
    return len(text).to_bytes(FIRST, "little") + text


def decode(data: Buffer) -> Tree:
    """Return the tree in ``data``; its arrays are read-only and share the memory of ``data``."""
    view = memoryview(data).toreadonly().cast("B")
    with explain_damage(len(view)):
        return _decode(view)


@contextlib.contextmanager
def explain_damage(size: int) -> Iterator[None]:
    """Raise CheckpointDamaged for whatever reading damaged or foreign bytes raises."""
    try:
        yield
    except StateError:  # The bytes are whole, but a package is missing.
        raise
    except _DAMAGES as error:
        raise CheckpointDamaged(
            f"the bytes of a checkpoint must be what was written, but reading {size:,} of them "
            f"gave {type(error).__name__}: {str(error)[:SHOWN_CHARACTERS]}; go on from another copy"
        ) from error


# Everything that decoding damaged or foreign bytes can raise.
_DAMAGES = (
    msgspec.MsgspecError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
)


class _Gathering:
    """One pass over a tree that makes its outline, and gathers its arrays by name."""

    def __init__(self) -> None:
        self.held: dict[str, NDArray[Any]] = {}
        self._begun: dict[int, int] = {}

    def node(self, tree: Tree, path: Path) -> Node:
        kind = type(tree)
        if kind in SHARED:
            return self._share(tree, path)
        if kind is tuple:
            return Tupled(self._nodes(tree, path))
        if kind is bytes and len(tree) > LONG_BYTES:
            return Long(self._hold(np.frombuffer(tree, np.uint8), path))
        return tree if is_plain(tree) else pack(tree)

    def _share(self, tree: Tree, path: Path) -> Node:
        if id(tree) in self._begun:
            return Same(self._begun[id(tree)])
        self._begun[id(tree)] = len(self._begun)
        if type(tree) is np.ndarray:
            return Array(self._hold(tree, path), name_of(tree.dtype))
        if type(tree) is list:
            return Listed(self._nodes(tree, path))
        keys = [key if is_plain(key) else pack(key) for key in tree]
        return Mapped(keys, [self.node(part, (*path, key)) for key, part in tree.items()])

    def _nodes(self, parts: list[Tree] | tuple[Tree, ...], path: Path) -> list[Node]:
        return [self.node(part, (*path, place)) for place, part in enumerate(parts)]

    def _hold(self, array: NDArray[Any], path: Path) -> str:
        name = stem = ".".join(map(_label, path)) or "state"
        others = itertools.count(2)
        while name in self.held or name == METADATA:
            name = f"{stem}#{next(others)}"
        self.held[name] = array
        return name


class TreeBuilder:
    """One pass over an outline that makes its tree."""

    def __init__(self, tensors: dict[str, Tensor], body: memoryview) -> None:
        # Those that no part was made of yet, because each is of one part: the tree is no larger
        # than its bytes.
        self._tensors, self._body = dict(tensors), body
        self._begun: list[Tree] = []

    def tree(self, node: Node, depth: int = 0) -> Tree:
        """Return the tree of an outline."""
        match node:
            case Array() | Mapped() | Listed():
                nth = len(self._begun)
                self._begun.append(UNFINISHED)
                made = self._begun[nth] = self._anew(node, depth)
                return made
            case Same():
                return self._again(node.nth)
            case Tupled():
                return tuple(self._parts(node.parts, depth))
            case Packed():
                return unpack(node)
            case Long():
                begin, end = self._tensors.pop(node.tensor).data_offsets
                return bytes(self._body[begin:end])
        return node

    def _parts(self, nodes: list[Node], depth: int) -> list[Tree]:
        if depth > DEPTH:
            raise ValueError(f"it is more than {DEPTH} deep")
        return [self.tree(node, depth + 1) for node in nodes]

    def _again(self, nth: int) -> Tree:
        if nth < 0 or self._begun[nth] is UNFINISHED:
            raise ValueError(f"its part {nth} holds itself")
        return self._begun[nth]

    def _anew(self, node: Array | Listed | Mapped, depth: int) -> Tree:
        match node:
            case Array():
                return self._array(self._tensors.pop(node.tensor), node.dtype)
            case Listed():
                return self._parts(node.parts, depth)
        keys = list(map(_key, node.keys))
        made = dict(zip(keys, self._parts(node.parts, depth), strict=True))
        if len(made) < len(keys):
            raise ValueError("one of its dicts has a key twice")
        return generators.make(made) if generators.is_saved(made) else made

    def _array(self, tensor: Tensor, name: str) -> NDArray[Any]:
        dtype, shape = dtype_named(name), tensor.shape
        paired = dtype.kind == "c"
        begin, end = tensor.data_offsets
        size = math.prod(shape) * dtype.itemsize // (2 if paired else 1)
        if STORED[name] != tensor.dtype or (paired and shape[-1:] != [2]) or size != end - begin:
            raise ValueError(f"an array of {name} cannot be a tensor like {tensor}")
        return np.ndarray(shape[:-1] if paired else shape, dtype, self._body[begin:end])


_version = msgspec.json.Decoder(Version)
_outline = msgspec.json.Decoder(Outline)


class Layout(NamedTuple):
    """What a header says, the outline of the tree included."""

    header: Header
    outline: Outline


def decode_parts(first: bytes, body: Buffer) -> Tree:
    """Return the tree in a file that is in two parts: the header, and the arrays' bytes."""
    with explain_damage(len(first) + len(body)):
        return _decode_body(first[FIRST:], memoryview(body).toreadonly().cast("B"))


def _decode(data: memoryview) -> Tree:
    end = header_end(bytes(data[:FIRST]), len(data))
    return _decode_body(bytes(data[FIRST:end]), data[end:])


def _decode_body(text: bytes, body: memoryview) -> Tree:
    header, outline = (_known_layout if len(text) <= CACHED_BYTES else _layout)(text)
    check_size(header, len(body))
    return TreeBuilder(header.tensors, body).tree(outline.tree)


def _layout(text: bytes) -> Layout:
    header = read_header(text)
    if STACK in header.metadata:
        raise ValueError("it is a stack of states, and has none by itself")
    return Layout(header, read_outline(header))


def read_outline(header: Header) -> Outline:
    """Return the outline of a state in a header; raise ValueError if there is none."""
    if OUTLINE not in header.metadata:
        raise ValueError("there is no state in it, as in safetensors that others wrote")
    outline = header.metadata[OUTLINE]
    version = _version.decode(outline).version
    if version != VERSION:
        raise ValueError(f"its format is {version}, and this version of ramet reads {VERSION}")
    return _outline.decode(outline)


# From turn to turn, and from member to member, states are mostly laid out alike.
_known_layout = functools.lru_cache(maxsize=4)(_layout)


def _key(node: str | int | Packed) -> str | int:
    key = unpack(node) if isinstance(node, Packed) else node
    if not isinstance(key, str | int) or type(key) not in {str, int}:
        raise TypeError(f"one of its dicts has the key {key!r}")
    return key


def raw(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, copied only where they are not in one piece and in order."""
    in_order = array.astype(little_endian(array.dtype), order="C", copy=False)
    return in_order.reshape(-1).view(np.uint8).data


def _label(part: str | int) -> str:
    if isinstance(part, str):
        return _printable(part)
    # Python refuses to write very long numbers in decimals.
    return str(part) if part in SAFE else hex(part)


def _printable(text: str) -> str:
    """Return text without lone surrogates, so that it can be encoded."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

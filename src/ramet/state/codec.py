"""State trees as bytes and back, in the layout of safetensors.

Eight bytes give the length of a header, the header is JSON, and then come the arrays' own bytes
without holes; the tree around them is JSON too, in the header's metadata. Any reader of safetensors
opens it, and none ever executes anything. https://huggingface.co/docs/safetensors

Numbers are little-endian; arrays in another order of bytes come back with equal values in this one.
Dicts of other kinds come back as dicts. Two arrays that are views of one memory are two arrays.
"""

import functools
import itertools
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ramet.digest import Buffer
from ramet.errors import CheckpointDamaged, StateError
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
from ramet.state.tree import UNFINISHED, Path, Tree, checked

# Raised whenever a reader of the one before would not understand.
VERSION = 1
METADATA, OUTLINE = "__metadata__", "ramet.state"
# Of the arrays' bytes in a file, so that each array is where its numbers may be.
ALIGNMENT = 64
# Longer bytes are a tensor of their own.
LONG = 1024
# What comes back as one object from wherever it is in a tree.
SHARED = {dict, list, np.ndarray}


class Tensor(msgspec.Struct, frozen=True):
    """What the header says of a tensor."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def encode(tree: Tree, **about: str) -> list[Buffer]:
    """Return a tree as bytes, in chunks of which all but the first are the arrays' own memory.

    Equal trees give equal bytes. ``about`` is metadata for other readers; it changes the bytes, and
    with them their digest.

    >>> header, weights = encode({"w": np.zeros(2)})
    >>> len(header) % 64, len(weights)
    (0, 16)
    """
    gathering = _Gathering()
    outline = Outline(VERSION, gathering.node(checked(tree), ()))
    metadata = {name: _printable(text) for name, text in about.items()}
    metadata[OUTLINE] = msgspec.json.encode(outline).decode()
    header: dict[str, Any] = {METADATA: metadata}
    # The widest numbers first, so that none is at an odd place.
    held = dict(sorted(gathering.held.items(), key=lambda item: -item[1].dtype.itemsize))
    chunks: list[Buffer] = [_raw(array) for array in held.values()]
    ends = list(itertools.accumulate(map(len, chunks), initial=0))
    for (name, array), offsets in zip(held.items(), itertools.pairwise(ends), strict=True):
        header[name] = Tensor(STORED[name_of(array.dtype)], _stored_shape(array), offsets)
    text = msgspec.json.encode(header)
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return [len(text).to_bytes(8, "little") + text, *chunks]


def decode(data: Buffer) -> Tree:
    """Return the tree that bytes hold, its arrays read-only and in the bytes' own memory."""
    view = memoryview(data).toreadonly().cast("B")
    try:
        return _decoded(view)
    except StateError:  # It is whole, and this machine lacks what it takes.
        raise
    except _DAMAGES as error:
        raise CheckpointDamaged(
            f"the bytes of a checkpoint must be what was written, but reading {len(view):,} of "
            f"them gave {type(error).__name__}: {error}; go on from another copy of them"
        ) from error


# All that reading can raise of bytes that were never written, or not so.
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
            return self._shared(tree, path)
        if kind is tuple:
            return Tupled(self._nodes(tree, path))
        if kind is bytes and len(tree) > LONG:
            return Long(self._hold(np.frombuffer(tree, np.uint8), path))
        return tree if is_plain(tree) else pack(tree)

    def _shared(self, tree: Tree, path: Path) -> Node:
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


class _Reading:
    """One pass over an outline that makes its tree."""

    def __init__(self, tensors: dict[str, Tensor], body: memoryview) -> None:
        self._tensors, self._body = tensors, body
        self._begun: list[Tree] = []

    def tree(self, node: Node) -> Tree:
        match node:
            case Array() | Mapped() | Listed():
                nth = len(self._begun)
                self._begun.append(UNFINISHED)
                made = self._begun[nth] = self._anew(node)
                return made
            case Same():
                return self._again(node.nth)
            case Tupled():
                return tuple(map(self.tree, node.parts))
            case Packed():
                return unpack(node)
            case Long():
                begin, end = self._tensors[node.tensor].data_offsets
                return bytes(self._body[begin:end])
        return node

    def _again(self, nth: int) -> Tree:
        if nth < 0 or self._begun[nth] is UNFINISHED:
            raise ValueError(f"its part {nth} holds itself")
        return self._begun[nth]

    def _anew(self, node: Array | Listed | Mapped) -> Tree:
        match node:
            case Array():
                return self._array(self._tensors[node.tensor], node.dtype)
            case Listed():
                return list(map(self.tree, node.parts))
        keys = [unpack(key) if isinstance(key, Packed) else key for key in node.keys]
        made = dict(zip(keys, map(self.tree, node.parts), strict=True))
        return generators.made(made) if generators.is_saved(made) else made

    def _array(self, tensor: Tensor, name: str) -> NDArray[Any]:
        dtype, shape = dtype_named(name), tensor.shape
        paired = dtype.kind == "c"
        if STORED[name] != tensor.dtype or (paired and shape[-1:] != [2]):
            raise ValueError(f"an array of {name} cannot be a tensor like {tensor}")
        begin, end = tensor.data_offsets
        return np.ndarray(shape[:-1] if paired else shape, dtype, self._body[begin:end])


_header = msgspec.json.Decoder(dict[str, msgspec.Raw])
_metadata = msgspec.json.Decoder(dict[str, str])
_tensor = msgspec.json.Decoder(Tensor)
_version = msgspec.json.Decoder(Version)
_outline = msgspec.json.Decoder(Outline)


class Layout(NamedTuple):
    """What a header says."""

    tensors: dict[str, Tensor]
    outline: Outline
    # Of the tensors' bytes.
    length: int


def _decoded(data: memoryview) -> Tree:
    begin = 8 + int.from_bytes(data[:8], "little")
    if len(data) < begin:
        raise ValueError(f"its header ends at byte {begin:,}")
    layout, body = _layout(bytes(data[8:begin])), data[begin:]
    if layout.length != len(body):
        raise ValueError(f"its tensors have {layout.length:,} bytes, but {len(body):,} are there")
    return _Reading(layout.tensors, body).tree(layout.outline.tree)


# From turn to turn, and from member to member, states are mostly laid out alike.
@functools.lru_cache(maxsize=4)
def _layout(text: bytes) -> Layout:
    header = _header.decode(text)
    metadata = _metadata.decode(header.pop(METADATA, msgspec.Raw(b"{}")))
    if OUTLINE not in metadata:
        raise ValueError("there is no state in it, as in safetensors that others wrote")
    outline = metadata[OUTLINE]
    version = _version.decode(outline).version
    if version != VERSION:
        raise ValueError(f"its format is {version}, and this version of ramet reads {VERSION}")
    tensors = {name: _tensor.decode(text) for name, text in header.items()}
    return Layout(tensors, _outline.decode(outline), _length(tensors))


def _length(tensors: dict[str, Tensor]) -> int:
    """Return how many bytes tensors have, which must lie one behind the other."""
    at = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        begin, end = tensor.data_offsets
        if begin != at or end < begin:
            raise ValueError(f"a tensor begins at byte {begin}, but the one before ends at {at}")
        at = end
    return at


def _raw(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, copied only where they are not in one piece and in order."""
    in_order = array.astype(little_endian(array.dtype), order="C", copy=False)
    return in_order.reshape(-1).view(np.uint8).data


def _stored_shape(array: NDArray[Any]) -> list[int]:
    return [*array.shape, 2] if array.dtype.kind == "c" else list(array.shape)


def _label(part: str | int) -> str:
    if isinstance(part, str):
        return _printable(part)
    # Python refuses to write very long numbers in decimals.
    return str(part) if part in SAFE else hex(part)


def _printable(text: str) -> str:
    """Return text that is valid in any encoding, which half of a character is not."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

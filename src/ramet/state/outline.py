"""The outline of a state tree, which has all but the arrays' numbers, as JSON."""

import math
from typing import Any, TypeAlias

import msgspec
import numpy as np

from ramet.state.dtypes import dtype_named, name_of
from ramet.state.tree import Tree

# Integers that JSON readers in other languages do not round.
SAFE = range(-(2**53), 2**53 + 1)


class _Node(msgspec.Struct, frozen=True, tag_field="is"):
    """A part of a tree that JSON has no type for."""


class Array(_Node, frozen=True, tag="array"):
    """An array, by the name of its tensor."""

    tensor: str
    dtype: str


class Long(_Node, frozen=True, tag="bytes"):
    """Many bytes, by the name of their tensor."""

    tensor: str


class Packed(_Node, frozen=True, tag="packed"):
    """A single value as bytes: a number of NumPy, or what JSON would not give back to the bit."""

    of: str
    value: bytes


class Listed(_Node, frozen=True, tag="list"):
    """A list."""

    parts: "list[Node]"


class Tupled(_Node, frozen=True, tag="tuple"):
    """A tuple."""

    parts: "list[Node]"


class Mapped(_Node, frozen=True, tag="dict"):
    """A dict, in its order."""

    keys: list[str | int | Packed]
    parts: "list[Node]"


class Same(_Node, frozen=True, tag="same"):
    """The very array, dict or list that was the nth to begin, counted from 0."""

    nth: int


Node: TypeAlias = (
    bool | int | float | str | Array | Long | Packed | Listed | Tupled | Mapped | Same | None
)


class Outline(msgspec.Struct, frozen=True):
    """A whole tree."""

    version: int
    tree: Node


class Version(msgspec.Struct, frozen=True):
    """The version alone, which is read first; later versions may have other fields."""

    version: int


def is_plain(value: Tree) -> bool:
    """Say whether JSON gives a value back as it is."""
    kind = type(value)
    if kind is str:
        # A lone surrogate, as file names may have, is not valid in JSON.
        return bool(value.isascii() or value.encode(errors="ignore").decode() == value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return value in SAFE
    return value is None or kind is bool


def pack(value: Any) -> Packed:
    """Return a value as bytes that are the same wherever they are written."""
    match value:
        case np.generic():
            array = np.asarray(value)
            return Packed(name_of(array.dtype), array.tobytes())
        case int():
            return Packed("int", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
        case float():
            return Packed("float", np.array(value, "<f8").tobytes())
        case complex():
            return Packed("complex", np.array(value, "<c16").tobytes())
        case str():
            return Packed("str", value.encode("utf-8", "surrogatepass"))
    return Packed("bytes", value)


def unpack(packed: Packed) -> Any:
    """Return the value; raise ValueError or KeyError where there is none."""
    match packed.of:
        case "int":
            return int.from_bytes(packed.value, "little", signed=True)
        case "float":
            return np.frombuffer(packed.value, "<f8").item()
        case "complex":
            return np.frombuffer(packed.value, "<c16").item()
        case "str":
            return packed.value.decode("utf-8", "surrogatepass")
        case "bytes":
            return packed.value
    (scalar,) = np.frombuffer(packed.value, dtype_named(packed.of))
    return scalar

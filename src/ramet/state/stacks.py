"""Stacks: the states of several members in one file, their arrays stacked along a first axis.

A stack has the layout of a state by itself, and one axis more. The bytes that a row would have in a
file by itself can be made again from those of the stack, so a row has the digest of that file.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ramet.digest import Buffer
from ramet.errors import StateError
from ramet.laws import Positive
from ramet.layout import FIRST, Tensor, read_header
from ramet.state.codec import (
    CACHED_BYTES,
    OUTLINE,
    STACK,
    TreeBuilder,
    describe,
    explain_damage,
    lay_out,
    raw,
    read_outline,
    write_header,
)
from ramet.state.dtypes import name_of
from ramet.state.outline import Node
from ramet.state.tree import Tree, check_tree, map_arrays


class Stack(Sequence[Tree]):
    """The states of several members as one tree, in which each array has a row for each of them.

    What is no array is the same for all of them.

    >>> states = Stack({"w": np.arange(6.0).reshape(3, 2)}, rows=3)
    >>> states[1]
    {'w': array([2., 3.])}
    """

    def __init__(self, tree: Tree, *, rows: int) -> None:
        """Make a stack.

        Args:
            tree: The tree.
            rows: The number of states, which is the length of each array.
        """
        self.tree, self._rows = map_arrays(functools.partial(_check_axis, rows), tree), rows

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, row: int) -> Tree: ...

    @overload
    def __getitem__(self, row: slice) -> "Stack": ...

    def __getitem__(self, row: int | slice) -> Tree:
        rows = range(self._rows)[row]
        if isinstance(rows, range):
            return self.select(list(rows))
        # An array without axes is an array, too, and no number.
        return map_arrays(lambda array: array[rows, ...], self.tree)

    def select(self, rows: Sequence[int]) -> "Stack":
        """Return a stack of some of the states, in this order.

        Args:
            rows: Their places in this stack.
        """
        chosen = list(rows)
        return Stack(map_arrays(lambda array: array[chosen], self.tree), rows=len(chosen))


def _check_axis(rows: int, array: NDArray[Any]) -> NDArray[Any]:
    if array.shape[:1] != (rows,):
        raise StateError(
            f"a stack of {rows} states must have arrays of {rows} rows, but one is of shape "
            f"{array.shape}"
        )
    return np.asarray(array)


def stack(trees: Sequence[Tree]) -> Stack | None:
    """Return states as a stack that can be written, or None.

    They must differ in nothing but the numbers of their arrays, and hold no long bytes, which a
    file holds as arrays without a row for each state.
    """
    if isinstance(trees, Stack):
        return trees if _holds_arrays_alone(trees.tree, lay_out(trees.tree)[1]) else None
    checked = [check_tree(tree) for tree in trees]
    laid_out = [lay_out(tree) for tree in checked]
    alike = len({_form(outline, held) for outline, held in laid_out}) == 1
    if not alike or not _holds_arrays_alone(checked[0], laid_out[0][1]):
        return None
    names = {id(array): name for name, array in laid_out[0][1].items()}
    columns = {name: np.stack([held[name] for _, held in laid_out]) for name in names.values()}
    return Stack(map_arrays(lambda array: columns[names[id(array)]], checked[0]), rows=len(trees))


def _holds_arrays_alone(tree: Tree, held: dict[str, NDArray[Any]]) -> bool:
    """Say whether what a file holds of a tree as arrays are arrays of that tree."""
    own: set[int] = set()

    def note(array: NDArray[Any]) -> NDArray[Any]:
        own.add(id(array))
        return array

    map_arrays(note, tree)
    return own == set(map(id, held.values()))


def _form(outline: str, held: dict[str, NDArray[Any]]) -> tuple[Any, ...]:
    return outline, *((name_of(array.dtype), array.shape) for array in held.values())


class LaidOut(NamedTuple):
    """A stack as it is in a file.

    Args:
        chunks: Its bytes; all but the first chunk are the memory of its arrays.
        alone: What a file of one row by itself begins with.
        rows: The number of its rows.
    """

    chunks: list[Buffer]
    alone: bytes
    rows: int

    def digest_rows(self) -> list[str]:
        """Return the digest of each row, as it would be by itself, without copying any."""
        rows = self.rows
        columns = [(column, len(column) // rows) for column in self.chunks[1:]]
        begun, digests = xxhash.xxh3_128(self.alone), []
        for row in range(rows):
            hashed = begun.copy()
            for column, size in columns:
                hashed.update(column[row * size : (row + 1) * size])
            digests.append(hashed.hexdigest())
        return digests


def lay_out_stack(states: Stack) -> LaidOut:
    """Return a stack as bytes."""
    outline, held = lay_out(states.tree)
    rows, columns = len(states), [raw(array) for array in held.values()]
    tensors = {name: describe(array) for name, array in held.items()}
    header = write_header({STACK: str(rows), OUTLINE: outline}, tensors)
    alone = write_header({OUTLINE: outline}, _describe_row(tensors, rows))
    return LaidOut([header, *columns], alone, rows)


def _describe_row(tensors: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Return how a file of one row by itself describes its tensors."""
    found: dict[str, Tensor] = {}
    at = 0
    for name, tensor in tensors.items():
        begin, end = tensor.data_offsets
        found[name] = Tensor(tensor.dtype, tensor.shape[1:], (at, at := at + (end - begin) // rows))
    return found


class StackLayout(NamedTuple):
    """What the first bytes of a stack say.

    Args:
        rows: The number of its rows.
        begin: The number of the first bytes, behind which the arrays are.
        header: What a file of one row by itself begins with.
        tensors: The arrays of the stack.
        alone: The arrays of one row by itself.
        tree: The outline of a row.
    """

    rows: int
    begin: int
    header: bytes
    tensors: dict[str, Tensor]
    alone: dict[str, Tensor]
    tree: Node

    def ranges(self, row: int) -> list[tuple[int, int]]:
        """Return where in the file the bytes of a row are, in their order in a file by itself.

        Args:
            row: The row.
        """
        return [(self.begin + begin, self.begin + end) for begin, end in self._places(row)]

    def decode_row(self, data: Buffer, row: int) -> Tree:
        """Return the state in a row.

        Args:
            data: The bytes of the whole stack. The arrays of the state share their memory.
            row: The row.
        """
        tensors = {
            name: Tensor(tensor.dtype, tensor.shape, place)
            for (name, tensor), place in zip(self.alone.items(), self._places(row), strict=True)
        }
        with explain_damage(len(data)):
            body = memoryview(data).toreadonly().cast("B")[self.begin :]
            return TreeBuilder(tensors, body).tree(self.tree)

    def _places(self, row: int) -> Iterator[tuple[int, int]]:
        for tensor, alone in zip(self.tensors.values(), self.alone.values(), strict=True):
            begin, end = alone.data_offsets
            first = tensor.data_offsets[0] + row * (end - begin)
            yield first, first + end - begin


def read_stack(first: bytes) -> StackLayout:
    """Return what the first bytes of a stack say, its header; refuse those of anything else."""
    with explain_damage(len(first)):
        return (_known_layout if len(first) <= CACHED_BYTES else _layout)(first)


def _layout(first: bytes) -> StackLayout:
    header = read_header(first[FIRST:])
    if STACK not in header.metadata:
        raise ValueError("it is no stack")
    rows = _count.decode(header.metadata[STACK])
    for name, tensor in header.tensors.items():
        begin, end = tensor.data_offsets
        if tensor.shape[:1] != [rows] or (end - begin) % rows:
            raise ValueError(f"the rows of {name[:99]!r} are not {rows}: {tensor}")
    outline = read_outline(header)
    alone = _describe_row(header.tensors, rows)
    text = write_header({OUTLINE: header.metadata[OUTLINE]}, alone)
    return StackLayout(rows, len(first), text, header.tensors, alone, outline.tree)


_count = msgspec.json.Decoder(Positive)
# Many rows of one stack are read one after the other.
_known_layout = functools.lru_cache(maxsize=16)(_layout)

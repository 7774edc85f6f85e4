"""The states of several members in one file: each comes out as it would from a file by itself."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ramet.digest import digest
from ramet.errors import CheckpointDamaged, StateError
from ramet.state import Stack, decode, encode
from ramet.state.stacks import lay_out_stack, read_stack, stack
from tests import values
from tests.values import Draw, alike, in_native_order, sharing

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
dtypes = values.dtypes | hnp.complex_number_dtypes()


@st.composite
def stacks(draw: Draw) -> Stack:
    """Draw a stack: arrays with a row for each state, other leaves, and arrays at two places."""
    rows = draw(st.integers(1, 5))
    columns = shapes.flatmap(lambda shape: hnp.arrays(draw(dtypes), (rows, *shape)))
    shared = draw(st.lists(columns, min_size=1, max_size=2))
    leaves = columns | st.sampled_from(shared) | st.text(max_size=3) | st.integers() | st.floats()
    inner = st.lists(leaves, max_size=3) | st.dictionaries(values.texts, leaves, max_size=3)
    tree = draw(st.dictionaries(values.texts, inner | leaves, max_size=4))
    return Stack(tree, rows=rows)


def from_bytes(states: Stack, row: int) -> Any:
    """Return a row of a stack that was written and is read again."""
    chunks = lay_out_stack(states).chunks
    return read_stack(bytes(chunks[0])).decode_row(b"".join(chunks), row)


@given(states=stacks())
def test_a_row_has_the_digest_of_a_file_by_itself(states: Stack) -> None:
    assert lay_out_stack(states).digest_rows() == [digest(encode(state)) for state in states]


@given(states=stacks())
def test_the_bytes_of_a_row_are_those_of_a_file_by_itself(states: Stack) -> None:
    chunks = lay_out_stack(states).chunks
    data, layout = b"".join(chunks), read_stack(bytes(chunks[0]))
    for row, state in enumerate(states):
        parts = [data[begin:end] for begin, end in layout.ranges(row)]
        assert b"".join([layout.header, *parts]) == b"".join(encode(state))


@given(states=stacks())
def test_a_row_that_was_written_is_the_state(states: Stack) -> None:
    for row, state in enumerate(states):
        found = from_bytes(states, row)
        assert alike(found, in_native_order(state))
        assert sharing(found) == sharing(state)


@given(states=stacks())
def test_states_one_by_one_make_the_same_stack_again(states: Stack) -> None:
    again = stack(list(states))

    assert again is not None
    assert b"".join(lay_out_stack(again).chunks) == b"".join(lay_out_stack(states).chunks)


@given(states=stacks(), data=st.data())
def test_selected_states_are_those_of_the_stack(states: Stack, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(states) - 1), min_size=1, max_size=4))
    for state, row in zip(states.select(rows), rows, strict=True):
        assert alike(state, states[row])


def test_an_array_without_axes_comes_back_as_an_array() -> None:
    states = Stack({"count": np.arange(3)}, rows=3)

    assert [from_bytes(states, row)["count"].shape for row in range(3)] == [(), (), ()]


@pytest.mark.parametrize(
    "other",
    [
        {"w": np.zeros(3), "n": 1},
        {"w": np.zeros(2, np.float32), "n": 1},
        {"w": np.zeros(2), "n": 2},
        {"v": np.zeros(2), "n": 1},
        [np.zeros(2), 1],
    ],
    ids=["shape", "dtype", "number", "name", "kind"],
)
def test_states_that_differ_in_more_than_numbers_are_no_stack(other: Any) -> None:
    assert stack([{"w": np.zeros(2), "n": 1}, other]) is None


@pytest.mark.parametrize("shape", [(), (2,), (4, 3)])
def test_arrays_without_a_row_for_each_state_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StateError, match="a stack of 3 states must have arrays of 3 rows"):
        Stack({"w": np.zeros(shape)}, rows=3)


def test_a_stack_is_no_state_and_a_state_no_stack() -> None:
    with pytest.raises(CheckpointDamaged, match="it is a stack of states"):
        decode(b"".join(lay_out_stack(Stack({"w": np.zeros(3)}, rows=3)).chunks))
    with pytest.raises(CheckpointDamaged, match="it is no stack"):
        read_stack(bytes(encode({"w": np.zeros(3)})[0]))


def test_the_library_of_safetensors_reads_a_stack() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    chunks = lay_out_stack(Stack({"w": np.arange(6.0).reshape(3, 2)}, rows=3)).chunks

    assert safetensors.load(b"".join(chunks))["w"].tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("rows", ["0", "-1", "2", "4", "1e3", "x", "", "9" * 30, "9" * 5000, "[3]"])
def test_a_header_that_lies_about_its_rows_is_damage(rows: str) -> None:
    first = bytes(lay_out_stack(Stack({"w": np.zeros(3)}, rows=3)).chunks[0])
    header = json.loads(first[8:])
    header["__metadata__"]["ramet.stack"] = rows
    text = json.dumps(header).encode()
    with pytest.raises(CheckpointDamaged):
        read_stack(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "shape", [[3, 10**12], [10**12, 3], [3, -1], [3], [], [3, 2, 2**62, 2**62], [3, 2**63]]
)
def test_a_header_that_lies_about_a_shape_is_damage(shape: list[int]) -> None:
    chunks = lay_out_stack(Stack({"w": np.zeros((3, 2))}, rows=3)).chunks
    header = json.loads(bytes(chunks[0])[8:])
    header["w"]["shape"] = shape
    text = json.dumps(header).encode()
    first = len(text).to_bytes(8, "little") + text
    with pytest.raises(CheckpointDamaged):
        read_stack(first).decode_row(first + bytes(chunks[1]), 0)

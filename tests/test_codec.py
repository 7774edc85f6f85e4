"""A tree becomes bytes that any reader of safetensors opens, and comes back as it was."""

import contextlib
import json
import math
import sys
import tracemalloc
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ramet import layout
from ramet.digest import digest
from ramet.errors import CheckpointDamaged, StateError
from ramet.state import codec, decode, encode, freeze, thaw
from ramet.state.dtypes import STORED, dtype_named
from tests import values
from tests.values import alike, in_native_order, sharing

# Older versions have fewer.
OTHERS = [name for name in STORED if hasattr(ml_dtypes, name)]


def encoded(tree: Any, **about: str) -> bytes:
    return b"".join(encode(tree, **about))


def header_of(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def with_header(header: Any, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def with_outline(outline: Any) -> bytes:
    return with_header({"__metadata__": {"ramet.state": json.dumps(outline)}})


@given(tree=values.trees)
def test_a_tree_comes_back_as_it_was(tree: Any) -> None:
    back = decode(encoded(tree))

    assert alike(back, in_native_order(tree))
    assert sharing(back) == sharing(tree)


@given(tree=values.trees)
def test_the_order_of_keys_stays(tree: dict[Any, Any]) -> None:
    assert repr(decode(encoded({"a": tree, "": 0}))) == repr(in_native_order({"a": tree, "": 0}))


@given(tree=values.trees)
def test_equal_trees_give_equal_bytes(tree: Any) -> None:
    assert encoded(thaw(freeze(tree))) == encoded(tree)


@given(one=values.trees, other=values.trees)
def test_different_trees_give_different_digests(one: Any, other: Any) -> None:
    assume(not alike(in_native_order(one), in_native_order(other)))
    assert digest(encode(one)) != digest(encode(other))


@pytest.mark.parametrize(
    "different",
    [
        [1, 1.0, True, 1j, "1", b"1", np.int64(1), np.float64(1.0), np.array(1)],
        [0, False, None, "", b"", [], (), {}, [None], {"": None}],
        [[1, 2], (1, 2), [[1], 2], [[1, 2]], {1: 2}, {"1": 2}, np.array([1, 2])],
        ["ab", b"ab", ["a", "b"], ["", "ab"], {"a": "b"}],
        [np.zeros(4, dtype) for dtype in ("f4", "f8", "i4", "i8", "u4", "c8", "?", "bfloat16")],
        [np.zeros(shape) for shape in [(), (1,), (4,), (2, 2), (4, 1), (1, 4), (0,), (0, 3)]],
        [0.0, -0.0, math.nan, math.inf, -math.inf],
        [{"a": [1], "b": []}, {"a": [], "b": [1]}, {"a": [1, "b", []]}],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
    ],
    ids=["one", "nothing", "nested", "text", "dtypes", "shapes", "floats", "places", "order"],
)
def test_no_two_of_these_have_the_same_digest(different: list[Any]) -> None:
    assert len({digest(encode(tree)) for tree in different}) == len(different)


def test_an_arrays_layout_in_memory_does_not_change_its_digest() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    others = [np.asfortranarray(rows), rows.repeat(2, axis=0)[::2], rows.astype(">f8")]

    assert {digest(encode(other)) for other in others} == {digest(encode(rows))}


@pytest.mark.parametrize(
    "leaf",
    [
        10**5000,
        -(10**5000),
        2**63,
        -(2**53) - 1,
        float.fromhex("0x1p-1074"),
        np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf4\xff").item(),
        complex(-0.0, math.nan),
        "\ud800 \U0001f600 \x00",
        bytes(1024),
        bytes(1025),
        np.float32(3),
        np.bool_(True),  # noqa: FBT003 - a value of a tree
        np.complex64(1j),
        ml_dtypes.bfloat16(3),
        {10**5000: np.ones(1), -1: np.ones(2)},
        np.array(5),
        np.zeros((0, 3)),
        np.zeros((3, 0), "c8"),
    ],
    ids=lambda leaf: type(leaf).__name__,
)
def test_a_leaf_comes_back_to_the_bit(leaf: Any) -> None:
    assert alike(decode(encoded(leaf)), leaf)


@pytest.mark.parametrize("name", OTHERS)
def test_the_short_floats_of_ml_dtypes_come_back(name: str) -> None:
    bits = np.arange(256, dtype="u1").repeat(dtype_named(name).itemsize)
    tree = {"w": bits.view(dtype_named(name)).reshape(2, 128), "none": np.zeros((0, 2), name)}

    assert alike(decode(encoded(tree)), tree)


def test_reading_short_floats_without_their_package_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded(np.zeros(2, "bfloat16"))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)

    with pytest.raises(StateError, match=r"numbers of type bfloat16 .* pip install .*ml_dtypes"):
        decode(data)


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"w": [{1}]}, r"state\['w'\]\[0\] is of type set"),
        ([np.zeros(1, "longdouble")], r"state\[0\] is an array of float128"),
        ([np.ma.masked_array([1.0], [True])], r"state\[0\] is of type MaskedArray"),
        ({1.5: 0}, r"state has 1\.5"),
    ],
)
def test_what_is_no_tree_is_refused_by_its_place(tree: Any, what: str) -> None:
    with pytest.raises(StateError, match=what):
        encode(tree)


def test_a_tree_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["w"] = endless

    with pytest.raises(StateError, match="holds itself"):
        encode(endless)


def test_an_array_at_two_places_is_stored_once_and_comes_back_as_one() -> None:
    tied = np.ones(1000)
    data = encoded({"in": tied, "out": [tied, {"again": tied}]})
    back = decode(data)

    assert len(data) < 2 * tied.nbytes
    assert back["in"] is back["out"][0] is back["out"][1]["again"]


@given(
    array=hnp.arrays(
        hnp.scalar_dtypes().filter(lambda dtype: dtype.name in STORED),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_an_array_in_one_piece_is_neither_copied_nor_out_of_place(array: np.ndarray) -> None:
    native = in_native_order(array)
    others = [np.ones(3, "u1"), np.ones(3, "f2"), np.ones(1, "c16")]
    header, *chunks = encode([*others, native])
    back = decode(header + b"".join(chunks))

    shares = [np.shares_memory(np.frombuffer(chunk, "u1"), native) for chunk in chunks]
    assert any(shares) or not native.size
    assert len(header) % 64 == 0
    assert all(part.flags.aligned and not part.flags.writeable for part in back)


def test_what_is_read_is_the_memory_that_was_given() -> None:
    data = encoded({"w": np.arange(5.0), "z": np.ones(3, "c8")})
    whole = np.frombuffer(data, "u1")

    assert all(np.shares_memory(array, whole) for array in decode(data).values())


def test_encoding_takes_no_memory_for_the_arrays() -> None:
    tree = {"layers": [np.ones(1_000_000) for _ in range(4)]}
    tracemalloc.start()
    chunks = encode(tree)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(map(len, chunks)) > 32_000_000
    assert peak < 1_000_000


def test_a_file_on_the_disk_may_be_an_array(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "w", "f4", "w+", shape=(3,))
    mapped[:] = 2.0

    assert alike(decode(encoded([mapped])), [np.full(3, 2.0, "f4")])


@given(tree=values.trees)
def test_safetensors_opens_it_and_reads_equal_arrays(tree: Any) -> None:
    array = np.arange(6, dtype="i2").reshape(2, 3)
    data = encoded({"net": {"w": array}, "tree": tree}, member="3")
    read = safetensors.numpy.load(data)

    assert header_of(data)["__metadata__"]["member"] == "3"
    assert np.array_equal(read["net.w"], array)
    assert set(read) | {"__metadata__"} == set(header_of(data))


def test_what_safetensors_reads_is_named_by_its_place(tmp_path: Any) -> None:
    tree = {"a": [np.ones(1), {"b": np.ones(2)}], "a.0": np.ones(3), "__metadata__": np.ones(4)}
    tree |= {"c": np.array([1 + 2j]), "h": np.zeros(5, "bfloat16"), 1: np.ones(6), "1": np.ones(7)}
    file = tmp_path / "tree.safetensors"
    file.write_bytes(encoded(tree))

    with safetensors.safe_open(file, "numpy") as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no dict
        assert opened.get_tensor("c").tolist() == [[1.0, 2.0]]
    assert shapes == {
        "a.0": [1],
        "a.1.b": [2],
        "a.0#2": [3],
        "__metadata__#2": [4],
        "c": [1, 2],
        "h": [5],
        "1": [6],
        "1#2": [7],
    }
    assert alike(decode(file.read_bytes()), tree)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_damaged(data: bytes) -> None:
    with pytest.raises(CheckpointDamaged, match=r"reading .* gave"):
        decode(data)


@given(data=st.data(), tree=values.trees)
def test_changed_bytes_are_damaged_or_some_other_tree(data: st.DataObject, tree: Any) -> None:
    whole = bytearray(encoded(tree))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CheckpointDamaged):
        encode(decode(bytes(whole)))


@given(data=st.data(), tree=values.trees)
def test_bytes_cut_off_anywhere_are_damaged(data: st.DataObject, tree: Any) -> None:
    whole = encoded(tree)
    with pytest.raises(CheckpointDamaged):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointDamaged):
        decode(whole + b" ")


nodes = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.text(max_size=2)
    | st.builds(lambda nth: {"is": "same", "nth": nth}, st.integers(-2, 3))
    | st.builds(
        lambda of, value: {"is": "packed", "of": of, "value": value},
        st.sampled_from(["int", "float", "complex", "str", "float32", "O", "bfloat16"]),
        st.sampled_from(["", "AAAA", "AAAAAAAAAAA=", "/////w==", "!"]),
    )
    | st.builds(
        lambda dtype, tensor: {"is": "array", "tensor": tensor, "dtype": dtype},
        st.sampled_from(["float32", "complex64", "bfloat16", "bool", "O", "f4"]),
        st.sampled_from(["a", "b"]),
    ),
    lambda inner: st.builds(
        lambda kind, parts, keys: {"is": kind, "parts": parts, "keys": keys},
        st.sampled_from(["list", "tuple", "dict", "set"]),
        st.lists(inner, max_size=3),
        st.lists(st.text(max_size=1) | inner, max_size=3),
    ),
)
sizes = st.integers(-1, 9) | st.sampled_from([2**31, 2**62, 2**64, 2**80])
tensors = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "BOOL", "BF16", "X"]),
        "shape": st.lists(sizes, max_size=3) | st.just([1] * 70),
        "data_offsets": st.lists(sizes, min_size=1, max_size=3),
    }
)


@given(tree=nodes, a=tensors, b=tensors, version=st.sampled_from([1, 1, 1, 2, "1"]))
def test_made_up_headers_are_damaged_or_some_tree(tree: Any, a: Any, b: Any, version: Any) -> None:
    outline = json.dumps({"version": version, "tree": tree})
    header = {"__metadata__": {"ramet.state": outline}, "a": a, "b": b}
    with contextlib.suppress(CheckpointDamaged):
        encode(decode(with_header(header, bytes(8))))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "its header ends at byte 8"),
        (with_header({}), "there is no state in it"),
        (safetensors.numpy.save({"w": np.ones(2)}), "there is no state in it"),
        (with_outline({"version": 2, "nodes": []}), "format is 2, and this version .* reads 1"),
        (with_outline({"version": 1, "tree": {"is": "same", "nth": 0}}), "IndexError"),
        (
            with_outline(
                {"version": 1, "tree": {"is": "list", "parts": [{"is": "same", "nth": 0}]}}
            ),
            "part 0 holds itself",
        ),
        (with_outline({"version": 1, "tree": {"is": "array", "tensor": "w", "dtype": "O"}}), "'w'"),
        ((2**63).to_bytes(8, "little") + b"{}", "its header ends"),
    ],
)
def test_damage_says_what_it_is(data: bytes, why: str) -> None:
    with pytest.raises(CheckpointDamaged, match=why):
        decode(data)


W = {"is": "array", "tensor": "w", "dtype": "float64"}


@pytest.mark.parametrize(
    ("tree", "shape", "why"),
    [
        ([W, W], [1], "KeyError: 'w'"),
        ([{"is": "bytes", "tensor": "w"}] * 2, [1], "KeyError: 'w'"),
        ([W], [0], "cannot be a tensor"),
        ([{**W, "dtype": "float32"}], [1], "cannot be a tensor"),
        ([{"is": "dict", "keys": ["a", "a"], "parts": [1, W]}], [1], "a key twice"),
        (
            [
                {
                    "is": "dict",
                    "keys": [{"is": "packed", "of": "float", "value": "AAAAAAAA+H8="}],
                    "parts": [W],
                }
            ],
            [1],
            "has the key nan",
        ),
    ],
)
def test_a_header_that_no_state_has_is_damaged(tree: Any, shape: list[int], why: str) -> None:
    outline = {"version": 1, "tree": {"is": "list", "parts": tree}}
    header = {
        "__metadata__": {"ramet.state": json.dumps(outline)},
        "w": {"dtype": "F64", "shape": shape, "data_offsets": [0, 8]},
    }
    with pytest.raises(CheckpointDamaged, match=why):
        decode(with_header(header, bytes(8)))


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


def test_a_state_is_read_as_deep_as_one_may_be_and_no_deeper() -> None:
    deepest = nested(101)
    assert decode(encoded(deepest)) == deepest
    with pytest.raises(StateError, match="at most 100 deep"):
        encode(nested(102))

    deeper: Any = 1
    for _ in range(102):
        deeper = {"is": "list", "parts": [deeper]}
    with pytest.raises(CheckpointDamaged, match="more than 100 deep"):
        decode(with_outline({"version": 1, "tree": deeper}))


def test_a_header_longer_than_any_reader_takes_is_neither_written_nor_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded(list(range(1000)))
    monkeypatch.setattr(codec, "LONGEST_HEADER", 1000)
    monkeypatch.setattr(layout, "LONGEST_HEADER", 1000)

    with pytest.raises(StateError, match="keep long lists of numbers as arrays"):
        encode(list(range(1000)))
    with pytest.raises(CheckpointDamaged, match="more than 1,000"):
        decode(data)


def test_damage_is_told_in_a_few_words_whatever_is_written_in_it() -> None:
    outline = {"version": 1, "tree": {"is": "packed", "of": "x" * 1_000_000, "value": ""}}
    with pytest.raises(CheckpointDamaged) as caught:
        decode(with_outline(outline))
    assert len(str(caught.value)) < 1000


def test_nothing_that_is_nested_without_end_exhausts_the_stack() -> None:
    nested = '{"is":"list","parts":[' * 100_000
    header = {"__metadata__": {"ramet.state": f'{{"version":1,"tree":{nested}'}}

    with pytest.raises(CheckpointDamaged):
        decode(with_header(header))


def test_the_outline_is_json_with_its_version() -> None:
    outline = header_of(encoded({"w": np.ones(2), "n": [1, (None,)]}))["__metadata__"][
        "ramet.state"
    ]

    assert json.loads(outline) == {
        "version": 1,
        "tree": {
            "is": "dict",
            "keys": ["w", "n"],
            "parts": [
                {"is": "array", "tensor": "w", "dtype": "float64"},
                {"is": "list", "parts": [1, {"is": "tuple", "parts": [None]}]},
            ],
        },
    }
    assert msgspec.json.decode(outline)

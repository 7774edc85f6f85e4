"""Checkpoints: whole ones that were changed, in a file that is read as a run reads it."""

import functools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from ramet.blobs import DirectoryBlobs
from ramet.digest import digest
from ramet.errors import RametError, StoreError
from ramet.history.states import read_states
from ramet.population import Checkpoint
from ramet.state import Stack, decode, encode, thaw
from ramet.state.stacks import lay_out_stack, read_stack

# In the header of a stack.
STACKED = b"ramet.stack"
JSON = b'0123456789-[]{}",:.eE tfn\\'
# What stands in for a number in a header.
NUMBERS = [-1, 0, 1, 7, 2**31, 2**53, 2**62, 2**63, 2**64, 2**80, 10**400, 1.5, 1e308]
NAMES = ["F64", "U8", "X", "O", "object", "float32", "bfloat16", "__class__", "os.system", ""]
NODES = ["array", "bytes", "packed", "list", "tuple", "dict", "same", "pickle"]


def trial(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Return how a run, and after it a training, reads a file that was changed."""
    data = bytearray(rng.choice(_whole()))
    for _ in range(rng.choice([1, 1, 2, 5])):
        data = rng.choice(CHANGES)(rng, data)
    blobs = DirectoryBlobs(folder, durability="process")
    # The digest is right for most of them: it guards against damage, not against forgery.
    whole = _often(rng)
    key = f"0-1-{digest([bytes(data)]) if whole else '0' * 32}"
    row = rng.choice([0, 1, 2, 3, 2**62])
    its = _digest(bytes(data), row)
    file = folder / "run" / f"{key}.safetensors"
    file.parent.mkdir()
    file.write_bytes(data)

    def look() -> object:
        return encode(thaw(decode(blobs.get("run", key) if whole else bytes(data))))

    def look_at_row() -> object:
        kept = Checkpoint(member=5, turn=5, step=1, digest=its, stack=key, row=row)
        found = read_states(blobs, "run", [kept, replace(kept, row=0)])
        return [encode(thaw(_raise(state))) for state in found]

    return look_at_row if STACKED in data or rng.choice([True, False]) else look


def _raise(state: Any) -> Any:
    if isinstance(state, StoreError):
        raise state
    return state


def _often(rng: random.Random) -> bool:
    return rng.choice([True, True, False])


@functools.cache
def _whole() -> list[bytes]:
    """Return checkpoints as they should be, of all that may be in one."""
    shared, rng = np.ones(3, np.float32), np.random.default_rng(0)
    trees: list[Any] = [
        {
            "w": np.arange(6.0).reshape(2, 3),
            "b": shared,
            "again": [shared, {"c": np.ones(2, complex)}],
            "rest": [1, 2.5, float("nan"), "x", b"y" * 2000, (1, 2), None, True, np.float32(2)],
        },
        {"a": {"b": {"c": [np.zeros(0), np.array(3)]}}, 5: 1 << 80, "z": -0.0, "s": "\ud800"},
        {"rng": rng, "bits": np.zeros(3, "bool"), "layers": [np.ones((8, 8))] * 3},
        {"long": np.zeros(100_000), "text": "ä" * 500},
    ]
    stacks = [b"".join(lay_out_stack(states).chunks) for states in _stacks()]
    return [*(b"".join(encode(tree)) for tree in trees), *stacks, *stacks]


@functools.cache
def _stacks() -> list[Stack]:
    shared = np.ones((3, 2), np.float32)
    return [
        Stack({"w": np.arange(6.0).reshape(3, 2), "b": shared, "c": [shared, 2.5]}, rows=3),
        Stack({"n": np.arange(4), "none": np.zeros((4, 0)), "z": np.ones((4, 2), complex)}, rows=4),
        Stack({"long": np.zeros((2, 50_000)), "text": "ä" * 500}, rows=2),
    ]


def _digest(data: bytes, row: int) -> str:
    """Return the digest that a row has by itself, as a forger would, where there is such a row."""
    try:
        layout = read_stack(data[: 8 + int.from_bytes(data[:8], "little")])
        parts = [data[begin:end] for begin, end in layout.ranges(row)]
        return digest([layout.header, *parts])
    except RametError:
        return "0" * 32


def _flip(rng: random.Random, data: bytearray) -> bytearray:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _insert(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(9)) + data[at:]


def _splice(rng: random.Random, data: bytearray) -> bytearray:
    other = rng.choice(_whole())
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _length(rng: random.Random, data: bytearray) -> bytearray:
    lengths = [0, 64, len(data) - 8, len(data), rng.randrange(500), 2**63 - 1, 2**64 - 1]
    data[:8] = max(0, rng.choice(lengths)).to_bytes(8, "little")
    return data


def _letter(rng: random.Random, data: bytearray) -> bytearray:
    end = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    if end > len(data[:8]):
        data[rng.randrange(8, end)] = rng.choice(JSON)
    return data


def _header(rng: random.Random, data: bytearray) -> bytearray:
    """Change one part of the header, and keep it valid JSON."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        state = header["__metadata__"]["ramet.state"] = json.loads(
            header["__metadata__"]["ramet.state"]
        )
        _change(rng, state if _often(rng) else header)
        header["__metadata__"]["ramet.state"] = json.dumps(state)
        text = json.dumps(header).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        return data  # An earlier change made it no header, or nested it too deep to write.
    text += b" " * (-(8 + len(text)) % 64)
    return bytearray(len(text).to_bytes(8, "little") + text + data[8 + length :])


def _change(rng: random.Random, tree: Any) -> None:
    """Change a part of JSON, somewhere within."""
    places = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not places:
        return
    at = rng.choice(places)
    if isinstance(tree[at], dict | list) and _often(rng):
        _change(rng, tree[at])
    else:
        tree[at] = _part(rng, tree[at])


def _part(rng: random.Random, before: Any) -> Any:
    parts = [
        rng.choice(NUMBERS),
        rng.choice(NAMES + NODES),
        [before] * rng.randrange(4),
        {"is": rng.choice(NODES), "tensor": "w", "dtype": "float64", "parts": [before]},
        {"is": "same", "nth": rng.choice(NUMBERS)},
        _nested(before, rng.choice([3, 99, 101, 400])),
    ]
    return rng.choice(parts)


def _nested(part: Any, depth: int) -> Any:
    for _ in range(depth):
        part = {"is": "list", "parts": [part]}
    return part


CHANGES = [_flip, _cut, _insert, _splice, _length, _letter, _header, _header, _header]

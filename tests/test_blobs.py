"""Blobs keep their promises: in memory, in a directory, on a full disk and when killed."""

import errno
import fcntl
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.blobs import Blobs, DirectoryBlobs, MemoryBlobs
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError, StoreFull
from ramet.state import decode, encode
from ramet.testing import FakeClock
from ramet.testing.blobs import NAMES, BlobsContract, kept, key_of
from ramet.testing.faults import flaky, full, slow, torn
from tests.values import alike


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return MemoryBlobs()


class TestDirectoryBlobs(BlobsContract):
    @pytest.fixture(params=["power", "process"])
    def blobs(self, tmp_path: Path, request: pytest.FixtureRequest) -> Blobs:
        return DirectoryBlobs(tmp_path / "runs" / "here", durability=request.param)


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path)


def files(blobs: DirectoryBlobs) -> list[Path]:
    return [path for path in blobs.path.rglob("*") if path.is_file()]


def test_a_state_comes_back_from_a_file_as_it_was(blobs: DirectoryBlobs) -> None:
    tree = {"w": np.ones((2, 3), "f4"), "steps": [1, 2]}

    key = kept(blobs, *encode(tree))

    assert alike(decode(blobs.get("lm", key)), tree)
    assert files(blobs) == [blobs.path / "lm" / f"{key}.safetensors"]


def test_what_was_put_is_there_for_others(blobs: DirectoryBlobs) -> None:
    key = kept(blobs, b"abc")

    assert bytes(DirectoryBlobs(os.fspath(blobs.path)).get("lm", key)) == b"abc"


def test_names_of_runs_are_names_of_files_that_no_file_system_takes_for_another(
    blobs: DirectoryBlobs,
) -> None:
    for run in NAMES:
        kept(blobs, b"abc", run=run)

    folders = {path.name for path in blobs.path.iterdir()}
    assert len({name.lower() for name in folders}) == len(NAMES)
    assert all(len(name) < 150 and "." not in name for name in folders)


def test_other_files_beside_checkpoints_are_not_counted(blobs: DirectoryBlobs) -> None:
    key = kept(blobs, b"abc")
    for name in ("notes.txt", "model.safetensors", "0123456789abcdef.tmp"):
        (blobs.path / "lm" / name).write_bytes(b"mine")

    assert blobs.sizes("lm") == {key: 3}


def test_a_durability_that_there_is_not_is_refused() -> None:
    with pytest.raises(StoreError, match="must be 'power' or 'process', but got 'disk'"):
        DirectoryBlobs("runs", durability="disk")  # type: ignore[arg-type]


STATE = encode({"w": np.arange(9, dtype="f4"), "b": [np.float32(3), None, "x"]})


@given(data=st.data())
def test_any_damage_to_a_file_is_seen_and_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    blobs = DirectoryBlobs(tmp_path_factory.mktemp("blobs"), durability="process")
    key = kept(blobs, *STATE)
    (file,) = files(blobs)
    whole = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(whole)

    with pytest.raises(CheckpointDamaged) as raised:
        blobs.get("lm", key)
    assert all(part in str(raised.value) for part in (key, "'lm'", str(file)))


class Fails:
    """Raises what a full disk does, wherever it is put."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __call__(self, *args: object) -> None:
        raise OSError(self.code, os.strerror(self.code))

    def __iter__(self) -> Any:
        yield b"some of it"
        self()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", ["write", "sync", "rename"])
def test_a_full_disk_leaves_nothing_and_says_what_to_do(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch, code: int, at: str
) -> None:
    before = kept(blobs, b"before")
    fails, chunks = Fails(code), [b"after"]
    if at == "sync":
        monkeypatch.setattr(os, "fdatasync", fails)
    if at == "rename":
        monkeypatch.setattr(os, "replace", fails)

    with pytest.raises(StoreFull, match="nothing was written: free space there and run again"):
        blobs.put("lm", key_of(*chunks), fails if at == "write" else chunks)  # type: ignore[arg-type]

    assert [file.name for file in files(blobs)] == [f"{before}.safetensors"]
    monkeypatch.undo()
    kept(blobs, *chunks)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte, where this machine lets tests make one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a disk of a megabyte: {mounted.stderr.decode()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)  # noqa: S607 - wherever


@pytest.mark.parametrize("chunk", [1_000, 3_000_000])
def test_a_disk_that_is_full_in_earnest_leaves_nothing(small_disk: Path, chunk: int) -> None:
    blobs = DirectoryBlobs(small_disk)
    before = kept(blobs, b"before")

    with pytest.raises(StoreFull, match="No space left on device"):
        kept(blobs, *[bytes(chunk)] * (3_000_000 // chunk))

    assert [file.name for file in files(blobs)] == [f"{before}.safetensors"]
    assert bytes(blobs.get("lm", before)) == b"before"


def test_another_fault_of_the_disk_is_told_as_it_is(blobs: DirectoryBlobs) -> None:
    with pytest.raises(StoreError, match=r"failed: Input/output error; nothing was written"):
        blobs.put("lm", key_of(b"abc"), Fails(errno.EIO))  # type: ignore[arg-type]
    assert files(blobs) == []


WRITER = """
import sys
from ramet.blobs import DirectoryBlobs
from ramet.testing.blobs import kept
for turn in range(3):
    kept(DirectoryBlobs(sys.argv[1]), bytes(5_000_000), turn=turn)
"""


@pytest.mark.parametrize(
    ("point", "there"),
    [("blob-written", 0), ("blob-kept", 1), ("blob-written:3", 2), ("blob-kept:3", 3)],
)
def test_a_writer_that_is_killed_leaves_the_whole_or_nothing(
    blobs: DirectoryBlobs, point: str, there: int
) -> None:
    command = [sys.executable, "-c", WRITER, os.fspath(blobs.path)]
    killed = subprocess.run(command, env={**os.environ, "RAMET_CRASH_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL

    keys = [key_of(bytes(5_000_000), turn=turn) for turn in range(3)]
    assert blobs.sizes("lm") == dict.fromkeys(keys[:there], 5_000_000)
    assert all(blobs.get("lm", key) for key in keys[:there])
    with pytest.raises(CheckpointMissing):
        blobs.get("lm", key_of(bytes(5_000_000), turn=there))

    blobs.delete_leftovers("lm")
    assert len(files(blobs)) == there


def test_what_a_writer_is_still_at_work_on_is_no_leftover(blobs: DirectoryBlobs) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        blobs.delete_leftovers("lm")
        assert len(files(blobs)) == 1
        yield b"second"

    key = key_of(b"firstsecond")
    blobs.put("lm", key, chunks())  # type: ignore[arg-type]

    assert bytes(blobs.get("lm", key)) == b"firstsecond"


def test_a_file_taken_for_a_leftover_before_it_was_locked_is_begun_again(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, taken = fcntl.flock, []

    def too_late(descriptor: Any, operation: int) -> None:
        if not taken:
            taken.extend(files(blobs))
            blobs.delete_leftovers("lm")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    key = kept(blobs, b"abc")

    assert len(taken) == 1
    assert bytes(blobs.get("lm", key)) == b"abc"
    assert len(files(blobs)) == 1


def test_where_there_are_no_locks_blobs_are_kept_and_leftovers_stay(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    kept(blobs, b"abc")
    leftover = blobs.path / "lm" / "0123456789abcdef.tmp"
    leftover.touch()
    blobs.delete_leftovers("lm")

    assert leftover.exists()


def test_there_are_no_leftovers_where_there_is_no_run(blobs: DirectoryBlobs) -> None:
    blobs.delete_leftovers("lm")


def test_every_so_many_calls_of_flaky_blobs_raise() -> None:
    blobs = flaky(MemoryBlobs(), every=2)
    key = kept(blobs, b"abc")
    with pytest.raises(OSError, match="call 2, get, fails"):
        blobs.get("lm", key)
    assert blobs.get("lm", key) == b"abc"


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_what_was_torn_is_damaged(how: Any) -> None:
    blobs = torn(MemoryBlobs(), at=2, how=how)
    whole, damaged = kept(blobs, b"abc", turn=1), kept(blobs, b"abc", turn=2)
    assert blobs.get("lm", whole) == b"abc"
    with pytest.raises(CheckpointDamaged):
        blobs.get("lm", damaged)


def test_slow_blobs_take_their_time() -> None:
    clock = FakeClock(now=0.0)
    kept(slow(MemoryBlobs(), seconds=3.0, clock=clock), b"abc")
    assert clock.now() == 3.0


def test_full_blobs_keep_nothing_and_give_what_they_have() -> None:
    blobs = MemoryBlobs()
    key = kept(blobs, b"abc")
    with pytest.raises(StoreFull):
        kept(full(blobs), b"abc", turn=2)
    assert full(blobs).sizes("lm") == {key: 3}


def test_faults_travel_to_other_processes() -> None:
    blobs = pickle.loads(pickle.dumps(flaky(DirectoryBlobs("runs"), every=1)))  # noqa: S301 - ours
    with pytest.raises(OSError, match="call 1, sizes, fails"):
        blobs.sizes("lm")

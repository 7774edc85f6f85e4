"""Blobs keep their promises: in memory, in a directory, on a full disk and when killed."""

import contextlib
import errno
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.blobs import Blobs, DirectoryBlobs, MemoryBlobs, reading
from ramet.blobs.reading import LARGE_BYTES
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError, StoreFull
from ramet.places import Storage
from ramet.state import decode, encode
from ramet.testing import FakeClock
from ramet.testing.blobs import NAMES, BlobsContract, keep, key_of
from ramet.testing.faults import corrupting, flaky, full, slow
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

    key = keep(blobs, *encode(tree))

    assert alike(decode(blobs.get("lm", key)), tree)
    assert files(blobs) == [blobs.path / "lm" / f"{key}.safetensors"]


def test_what_was_put_is_there_for_others(blobs: DirectoryBlobs) -> None:
    key = keep(blobs, b"abc")

    assert bytes(DirectoryBlobs(os.fspath(blobs.path)).get("lm", key)) == b"abc"


def test_names_of_runs_are_names_of_files_that_no_file_system_takes_for_another(
    blobs: DirectoryBlobs,
) -> None:
    for run in NAMES:
        keep(blobs, b"abc", run=run)

    folders = {path.name for path in blobs.path.iterdir()}
    assert len({name.lower() for name in folders}) == len(NAMES)
    assert all(len(name) < 150 and "." not in name for name in folders)


def test_other_files_beside_checkpoints_are_not_counted(blobs: DirectoryBlobs) -> None:
    key = keep(blobs, b"abc")
    for name in ("notes.txt", "model.safetensors", "0123456789abcdef.tmp"):
        (blobs.path / "lm" / name).write_bytes(b"mine")

    assert blobs.sizes("lm") == {key: 3}


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_of_a_folder_stands_for_blobs_in_it(
    kind: type[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = Storage("runs.db", blobs=kind("some/kept"), durability="process").opened_blobs
    assert isinstance(opened, DirectoryBlobs)
    assert (opened.path, opened.durability) == (tmp_path / "some" / "kept", "process")


def test_a_durability_that_there_is_not_is_refused() -> None:
    with pytest.raises(StoreError, match="must be 'power' or 'process', but got 'disk'"):
        DirectoryBlobs("runs", durability="disk")


STATE = encode({"w": np.arange(9, dtype="f4"), "b": [np.float32(3), None, "x"]})


@given(data=st.data())
def test_any_damage_to_a_file_is_seen_and_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    blobs = DirectoryBlobs(tmp_path_factory.mktemp("blobs"), durability="process")
    key = keep(blobs, *STATE)
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


@pytest.fixture
def file(blobs: DirectoryBlobs) -> Path:
    """The file of a checkpoint."""
    key = keep(blobs, *STATE)
    return blobs.path / "lm" / f"{key}.safetensors"


def a_fifo(file: Path) -> None:
    os.mkfifo(file)


def a_folder(file: Path) -> None:
    file.mkdir()


def a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def a_socket(file: Path) -> None:
    # A socket's own name must be short.
    with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(file.parent):
        bound.bind("socket")
        Path("socket").rename(file.name)


def a_link_to_itself(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (a_fifo, "it is a FIFO in place of a file"),
        (a_folder, "it is a folder"),
        (a_device, "it is a device"),
        (a_socket, "it is a socket"),
        (a_link_to_itself, "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_refused_without_being_opened(
    blobs: DirectoryBlobs, file: Path, put: Any, said: str
) -> None:
    file.unlink()
    put(file)

    with pytest.raises(CheckpointDamaged, match=said):
        blobs.get("lm", file.stem)
    with pytest.raises(CheckpointDamaged, match=said):
        blobs.get_ranges("lm", file.stem, [(0, 8)])
    blobs.sizes("lm")


@pytest.mark.parametrize("data", [b"".join(STATE), b"", b"\xff" * 8])
def test_a_file_that_is_huge_is_refused_without_memory_for_it(
    blobs: DirectoryBlobs, file: Path, data: bytes
) -> None:
    file.write_bytes(data)
    os.truncate(file, 30_000_000_000)
    tracemalloc.start()

    with pytest.raises(CheckpointDamaged, match=r"its 30,000,000,000 bytes are no checkpoint"):
        blobs.get("lm", file.stem)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_file_of_holes_with_the_header_of_its_size_is_refused_without_memory_for_it(
    blobs: DirectoryBlobs, file: Path
) -> None:
    size = 2 * LARGE_BYTES
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(file, 8 + len(header) + size)
    tracemalloc.start()

    with pytest.raises(CheckpointDamaged, match="have the digest"):
        blobs.get("lm", file.stem)
    with pytest.raises(CheckpointDamaged, match="have the digest"):
        blobs.get_ranges("lm", file.stem, [(8, size)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < LARGE_BYTES


def test_a_large_state_whose_zeros_take_no_room_is_read_whole(blobs: DirectoryBlobs) -> None:
    tree = {"w": np.zeros(LARGE_BYTES, "u1")}
    key = keep(blobs, *encode(tree))
    (file,) = files(blobs)
    with file.open("r+b") as written:
        header = written.read(4096)
        written.truncate(0)
        written.seek(0)
        written.write(header)
    os.truncate(file, sum(len(chunk) for chunk in encode(tree)))

    assert alike(decode(blobs.get("lm", key)), tree)


def test_a_large_state_is_read_whole(blobs: DirectoryBlobs) -> None:
    tree = {"w": np.zeros(LARGE_BYTES, "u1"), "b": np.ones(3)}
    back = decode(blobs.get("lm", keep(blobs, *encode(tree))))

    assert alike(back, tree)
    # The first array begins where the body does.
    assert back["b"].ctypes.data % 64 == 0


CUT_OFF_LATER = """
import os, sys
from pathlib import Path
from ramet.blobs import DirectoryBlobs
from ramet.testing.blobs import keep
blobs = DirectoryBlobs(sys.argv[1])
held = blobs.get("lm", keep(blobs, bytes(1_000_000)))
for file in blobs.path.rglob("*.safetensors"):
    os.truncate(file, 0)
assert bytes(held) == bytes(1_000_000)
"""


def test_what_was_got_stays_whole_when_its_file_is_cut_off(blobs: DirectoryBlobs) -> None:
    # In a process of its own, which a mapped file would end.
    subprocess.run([sys.executable, "-c", CUT_OFF_LATER, os.fspath(blobs.path)], check=True)


def test_a_file_that_is_cut_off_while_it_is_read_is_damaged(
    blobs: DirectoryBlobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shrinks(FileIO):
        def readinto(self, memory: Any) -> int:
            os.truncate(file, 10)
            return super().readinto(memory)

    monkeypatch.setattr(reading, "FileIO", Shrinks)
    with pytest.raises(CheckpointDamaged, match="10 bytes in"):
        blobs.get("lm", file.stem)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.EIO, CheckpointDamaged), (errno.ENOMEM, StoreError), (errno.EMFILE, StoreError)],
)
def test_what_the_disk_cannot_read_is_damaged_and_what_this_process_cannot_is_not(
    blobs: DirectoryBlobs,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    expected: type[StoreError],
) -> None:
    class Unreadable(FileIO):
        def readinto(self, memory: Any) -> int:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(reading, "FileIO", Unreadable)
    with pytest.raises(StoreError, match=os.strerror(code)) as raised:
        blobs.get("lm", file.stem)
    assert type(raised.value) is expected


def test_a_folder_that_must_be_there_is_not_made_anew(blobs: DirectoryBlobs) -> None:
    keep(blobs, b"abc", turn=1)
    blobs.expect("lm", kept=True)
    blobs.path.rename(blobs.path.with_name("aside"))

    with pytest.raises(CheckpointMissing, match="'lm' names: No such file or directory"):
        blobs.expect("lm", kept=True)
    with pytest.raises(CheckpointMissing, match="moved or deleted just now"):
        keep(blobs, b"abc", turn=2)
    assert not blobs.path.exists()

    blobs.path.with_name("aside").rename(blobs.path)
    blobs.expect("lm", kept=True)
    keep(blobs, b"abc", turn=2)


def test_a_folder_that_takes_its_place_meanwhile_keeps_nothing(blobs: DirectoryBlobs) -> None:
    keep(blobs, b"abc", turn=1)
    blobs.expect("lm", kept=True)

    for file in files(blobs):
        file.unlink()
    with pytest.raises(CheckpointMissing, match="it is empty, or has other files in it"):
        keep(blobs, b"abc", turn=2)
    assert files(blobs) == []


def test_a_folder_is_expected_until_its_run_is_another(blobs: DirectoryBlobs) -> None:
    keep(blobs, b"abc", turn=1)
    blobs.expect("lm", kept=True)
    shutil.rmtree(blobs.path)

    blobs.expect("lm", kept=False)
    keep(blobs, b"abc", turn=1)
    assert len(files(blobs)) == 1


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
    before = keep(blobs, b"before")
    fails, chunks = Fails(code), [b"after"]
    if at == "sync":
        monkeypatch.setattr(os, "fdatasync", fails)
    if at == "rename":
        monkeypatch.setattr(os, "replace", fails)

    with pytest.raises(StoreFull, match="nothing was written: free space there and run again"):
        blobs.put("lm", key_of(*chunks), fails if at == "write" else chunks)

    assert [file.name for file in files(blobs)] == [f"{before}.safetensors"]
    monkeypatch.undo()
    keep(blobs, *chunks)


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
    before = keep(blobs, b"before")

    with pytest.raises(StoreFull, match="No space left on device"):
        keep(blobs, *[bytes(chunk)] * (3_000_000 // chunk))

    assert [file.name for file in files(blobs)] == [f"{before}.safetensors"]
    assert bytes(blobs.get("lm", before)) == b"before"


def test_another_fault_of_the_disk_is_raised_as_it_is(blobs: DirectoryBlobs) -> None:
    with pytest.raises(StoreError, match=r"failed: Input/output error; nothing was written"):
        blobs.put("lm", key_of(b"abc"), Fails(errno.EIO))
    assert files(blobs) == []


WRITER = """
import sys
from ramet.blobs import DirectoryBlobs
from ramet.testing.blobs import keep
for turn in range(3):
    keep(DirectoryBlobs(sys.argv[1]), bytes(5_000_000), turn=turn)
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
    blobs.put("lm", key, chunks())

    assert bytes(blobs.get("lm", key)) == b"firstsecond"


def test_a_file_that_looked_abandoned_before_it_was_locked_is_written_again(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="needs the locks of Unix")
    flock, taken = fcntl.flock, []

    def too_late(descriptor: Any, operation: int) -> None:
        if not taken:
            taken.extend(files(blobs))
            blobs.delete_leftovers("lm")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    key = keep(blobs, b"abc")

    assert len(taken) == 1
    assert bytes(blobs.get("lm", key)) == b"abc"
    assert len(files(blobs)) == 1


def test_where_there_are_no_locks_blobs_are_kept_and_leftovers_stay(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="needs the locks of Unix")

    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    keep(blobs, b"abc")
    leftover = blobs.path / "lm" / "0123456789abcdef.tmp"
    leftover.touch()
    blobs.delete_leftovers("lm")

    assert leftover.exists()


def test_there_are_no_leftovers_where_there_is_no_run(blobs: DirectoryBlobs) -> None:
    blobs.delete_leftovers("lm")


def test_every_nth_call_of_flaky_blobs_raises() -> None:
    blobs = flaky(MemoryBlobs(), every=2)
    key = keep(blobs, b"abc")
    with pytest.raises(OSError, match="call 2, get, fails"):
        blobs.get("lm", key)
    assert blobs.get("lm", key) == b"abc"


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_what_was_torn_is_damaged(how: Any) -> None:
    blobs = corrupting(MemoryBlobs(), at=2, how=how)
    whole, damaged = keep(blobs, b"abc", turn=1), keep(blobs, b"abc", turn=2)
    assert blobs.get("lm", whole) == b"abc"
    with pytest.raises(CheckpointDamaged):
        blobs.get("lm", damaged)


def test_slow_blobs_take_their_time() -> None:
    clock = FakeClock(now=0.0)
    keep(slow(MemoryBlobs(), seconds=3.0, clock=clock), b"abc")
    assert clock.now() == 3.0


def test_full_blobs_keep_nothing_and_give_what_they_have() -> None:
    blobs = MemoryBlobs()
    key = keep(blobs, b"abc")
    with pytest.raises(StoreFull):
        keep(full(blobs), b"abc", turn=2)
    assert full(blobs).sizes("lm") == {key: 3}


def test_faults_travel_to_other_processes() -> None:
    blobs = pickle.loads(pickle.dumps(flaky(DirectoryBlobs("runs"), every=1)))  # noqa: S301 - ours
    with pytest.raises(OSError, match="call 1, sizes, fails"):
        blobs.sizes("lm")

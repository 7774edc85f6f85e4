"""The cache of checkpoints: it saves requests, keeps to its size, and nothing relies on it."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs obstore: pip install 'ramet[cloud]'")

from ramet.blobs import ObjectBlobs
from ramet.blobs.cache import Cache
from ramet.errors import StoreError
from ramet.testing.blobs import keep, key_of
from tests.cloud import proxy
from tests.cloud.proxy import Proxy
from tests.cloud.servers import Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def through(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy.proxy(s3) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        yield made


def total(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def fill(cache: Cache, *turns: int, size: int = 1000) -> list[str]:
    """Put a checkpoint for each turn; return their keys."""
    states = [bytes([turn]) * size for turn in turns]
    keys = [key_of(state, turn=turn) for turn, state in zip(turns, states, strict=True)]
    for at, (key, state) in enumerate(zip(keys, states, strict=True)):
        cache.put(key, [state])
        for file in cache.folder.glob(key.rpartition("-")[2]):
            os.utime(file, (at, at))
    return keys


def test_what_was_put_or_got_here_is_not_fetched_again(
    through: Proxy, url: str, folder: Path
) -> None:
    key = keep(ObjectBlobs(url, cache=folder), b"abc")
    requests = len(through.seen)

    assert bytes(ObjectBlobs(url, cache=folder).get("lm", key)) == b"abc"
    assert len(through.seen) == requests
    elsewhere = ObjectBlobs(url, cache=folder.with_name("other"))
    assert [bytes(elsewhere.get("lm", key)) for _ in range(3)] == [b"abc"] * 3
    assert len(through.seen) == requests + 1


def test_a_part_of_what_is_here_is_read_here(through: Proxy, url: str, folder: Path) -> None:
    blobs = ObjectBlobs(url, cache=folder)
    key = keep(blobs, b"abcdef")
    requests = len(through.seen)

    assert bytes(blobs.get_ranges("lm", key, [(1, 3), (5, 6)])) == b"bcf"
    assert len(through.seen) == requests


def test_a_damaged_file_is_fetched_anew(s3: Server, url: str, folder: Path) -> None:
    blobs = ObjectBlobs(url, cache=folder)
    key = keep(blobs, b"abc")
    (file,) = folder.iterdir()
    file.write_bytes(b"abd")

    assert bytes(blobs.get("lm", key)) == b"abc"
    assert file.read_bytes() == b"abc"


def test_what_is_deleted_is_deleted_here_too(s3: Server, url: str, folder: Path) -> None:
    blobs = ObjectBlobs(url, cache=folder)
    blobs.delete("lm", [keep(blobs, b"abc")])

    assert list(folder.iterdir()) == []


def test_those_used_least_recently_make_room(folder: Path) -> None:
    cache = Cache(folder, 8000)
    keys = fill(cache, *range(6))
    assert cache.get(keys[0])
    fill(cache, *range(6, 10))

    assert total(folder) <= 8000
    assert cache.get(keys[0])
    assert cache.get(keys[1]) is None


def test_what_is_larger_than_the_cache_is_not_kept(folder: Path) -> None:
    fill(Cache(folder, 8000), 1, size=9000)
    assert not folder.exists()


def put_many(folder: Path, first: int) -> int:
    cache = Cache(folder, 50_000)
    keys = fill(cache, *range(first, first + 60))
    return sum(data is not None for data in map(cache.get, keys))


def test_several_processes_share_a_folder_and_its_limit(folder: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=spawning) as pool:
        found = list(pool.map(put_many, [folder] * 3, [0, 60, 120]))

    # Files of one process may have made room for those of the others.
    assert any(found)
    assert total(folder) <= 50_000
    assert not list(folder.glob("*.tmp"))


def test_a_folder_that_cannot_be_written_ends_the_cache_and_is_said_once(
    s3: Server, url: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file in its place")
    blobs = ObjectBlobs(url, cache=folder)
    keys = [keep(blobs, bytes([turn]), turn=turn) for turn in range(3)]

    assert [bytes(blobs.get("lm", key)) for key in keys] == [bytes([turn]) for turn in range(3)]
    (said,) = caplog.records
    assert f"no longer cached in {folder}, but fetched each time" in said.getMessage()


def test_a_full_disk_ends_the_cache_and_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache = Cache(folder, 8000)
    fill(cache, 1, 2)

    assert list(folder.iterdir()) == []
    assert ["No space left" in said.getMessage() for said in caplog.records] == [True]


@pytest.mark.parametrize("settings", [{"cache_bytes": -1}, {"patience_s": 0}])
def test_limits_that_cannot_be_are_refused(url: str, settings: dict[str, int]) -> None:
    with pytest.raises(StoreError, match="cache_bytes must be 0 or more and patience_s positive"):
        ObjectBlobs(url, **settings)

"""What all blobs must do, as tests: subclass, and give the class a ``blobs`` fixture.

::

    class TestMyBlobs(BlobsContract):
        @pytest.fixture
        def blobs(self):
            return MyBlobs()
"""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from ramet.blobs import Blobs
from ramet.digest import Buffer, digest
from ramet.errors import CheckpointDamaged, CheckpointMissing, StoreError
from ramet.population import Checkpoint

# Names that a run may have, which careless blobs confuse with each other or with paths.
NAMES = ("lm", "LM", "l/m", "../lm", "..", ".", "lm.", "", "con", "%", "ä", "\ud800", "x" * 300)


def key_of(*chunks: Buffer, member: int = 3, turn: int = 17) -> str:
    """Return the key that a run gives to these bytes."""
    return Checkpoint(member=member, turn=turn, step=0, digest=digest(chunks)).key


def keep(blobs: Blobs, *chunks: Buffer, run: str = "lm", turn: int = 17) -> str:
    """Put bytes; return their key."""
    key = key_of(*chunks, turn=turn)
    blobs.put(run, key, chunks)
    return key


class BlobsContract:
    """All tests that blobs must pass."""

    @pytest.fixture
    def blobs(self) -> Blobs:
        raise NotImplementedError("give the class a blobs fixture")

    @pytest.mark.parametrize(
        "chunks",
        [[], [b""], [b"one"], [b"a", b"", memoryview(b"bc")], [bytes(3_000_000), b"x"]],
        ids=["none", "empty", "one", "several", "many bytes"],
    )
    def test_what_was_put_is_got_back_whatever_its_chunks(
        self, blobs: Blobs, chunks: Sequence[Buffer]
    ) -> None:
        assert bytes(blobs.get("lm", keep(blobs, *chunks))) == b"".join(chunks)

    def test_ranges_are_the_bytes_at_their_places_one_behind_the_other(self, blobs: Blobs) -> None:
        key = keep(blobs, b"abc", b"defgh")
        # Blobs may leave this method out.
        if callable(get_ranges := getattr(blobs, "get_ranges", None)):
            assert bytes(get_ranges("lm", key, [(6, 8), (1, 4), (2, 2)])) == b"ghbcd"
            assert bytes(get_ranges("lm", key, [])) == b""
            assert memoryview(get_ranges("lm", key, [(0, 8)])).readonly

    @pytest.mark.parametrize("outside", [(0, 4), (4, 4), (2, 1), (-1, 2), (0, 1 << 70)])
    def test_ranges_that_are_not_there_are_damage(
        self, blobs: Blobs, outside: tuple[int, int]
    ) -> None:
        key = keep(blobs, b"abc")
        if callable(get_ranges := getattr(blobs, "get_ranges", None)):
            with pytest.raises(CheckpointDamaged, match=f"{key} of run 'lm'"):
                get_ranges("lm", key, [(0, 1), outside])

    def test_ranges_of_what_was_never_put_are_missing(self, blobs: Blobs) -> None:
        if callable(get_ranges := getattr(blobs, "get_ranges", None)):
            with pytest.raises(CheckpointMissing, match=f"{key_of(b'abc')} of run 'lm'"):
                get_ranges("lm", key_of(b"abc"), [(0, 1)])

    def test_what_was_got_cannot_be_written_on(self, blobs: Blobs) -> None:
        assert memoryview(blobs.get("lm", keep(blobs, b"abc"))).readonly

    def test_what_was_put_does_not_follow_the_memory_it_came_from(self, blobs: Blobs) -> None:
        weights = np.zeros(1000, np.uint8)
        key = keep(blobs, weights.data)
        weights += 1
        assert bytes(blobs.get("lm", key)) == bytes(1000)

    def test_what_was_got_stays_whole_when_it_is_deleted(self, blobs: Blobs) -> None:
        key = keep(blobs, b"x" * 10_000)
        held = blobs.get("lm", key)
        blobs.delete("lm", [key])
        assert bytes(held) == b"x" * 10_000

    def test_what_was_never_put_is_missing(self, blobs: Blobs) -> None:
        keep(blobs, b"abc")
        with pytest.raises(CheckpointMissing, match=f"{key_of(b'other')} of run 'lm' is not in"):
            blobs.get("lm", key_of(b"other"))

    def test_bytes_that_are_not_their_keys_are_damaged(self, blobs: Blobs) -> None:
        key = key_of(b"abc")
        blobs.put("lm", key, [b"abd"])
        with pytest.raises(CheckpointDamaged, match=f"{key} of run 'lm', 3 bytes in"):
            blobs.get("lm", key)

    def test_putting_a_key_again_is_no_error_and_mends_it(self, blobs: Blobs) -> None:
        key = key_of(b"abc")
        blobs.put("lm", key, [b"abd"])
        blobs.put("lm", key, [b"abc"])
        assert bytes(blobs.get("lm", key)) == b"abc"

    def test_sizes_are_of_all_that_is_there(self, blobs: Blobs) -> None:
        assert blobs.sizes("lm") == {}
        keys = [keep(blobs, bytes(size), turn=size) for size in (0, 1, 5000)]
        assert blobs.sizes("lm") == dict(zip(keys, (0, 1, 5000), strict=True))

    def test_only_what_is_named_is_deleted(self, blobs: Blobs) -> None:
        gone, stays = keep(blobs, b"abc", turn=1), keep(blobs, b"abc", turn=2)
        blobs.delete("lm", [gone, key_of(b"never put")])
        assert blobs.sizes("lm") == {stays: 3}
        with pytest.raises(CheckpointMissing):
            blobs.get("lm", gone)

    def test_runs_are_kept_apart_whatever_they_are_called(self, blobs: Blobs) -> None:
        for size, run in enumerate(NAMES):
            keep(blobs, bytes(size), run=run)
        assert [[*blobs.sizes(run).values()] for run in NAMES] == [[n] for n in range(len(NAMES))]
        blobs.delete("lm", blobs.sizes("lm"))
        assert [len(blobs.sizes(run)) for run in NAMES] == [0] + [1] * (len(NAMES) - 1)

    @pytest.mark.parametrize("key", ["", "..", "3-17", "3-17-abc", "../3-17-" + "0" * 32])
    def test_what_is_no_key_is_refused(self, blobs: Blobs, key: str) -> None:
        with pytest.raises(StoreError, match="a checkpoint's key must be its member, turn and"):
            blobs.put("lm", key, [b"abc"])
        with pytest.raises(StoreError, match="a checkpoint's key must be its member, turn and"):
            blobs.get("lm", key)

    def test_many_may_put_at_once(self, blobs: Blobs) -> None:
        keys: list[str] = []

        def put(turn: int) -> None:
            keys.extend(keep(blobs, bytes([member]) * 9999, turn=turn) for member in range(5))

        threads = [threading.Thread(target=put, args=(turn // 2,)) for turn in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert blobs.sizes("lm") == dict.fromkeys(keys, 9999)
        assert all(blobs.get("lm", key) for key in keys)

"""States of members that were trained together: read, taken out, pruned, copied and checked."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import DirectoryBlobs, MemoryBlobs
from ramet.digest import Buffer
from ramet.engine.run.checkpoints import Checkpoints
from ramet.errors import CheckpointDamaged, CheckpointMissing
from ramet.events import CheckpointLost, TurnEnded
from ramet.history.doctor import examine
from ramet.history.states import read_state, read_states
from ramet.population import Checkpoint
from ramet.state import Stack
from ramet.store import MemoryStore, SQLiteStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in, result_in
from tests.engine.stacking import MEMBERS, STRATEGY, asked, end, opened, state_of
from tests.values import alike


class Place:
    """A run in files, some turns of which were ended together."""

    def __init__(self, folder: Path, **storage: Any) -> None:
        self.path, self.storage = folder / "runs.db", storage
        self.blobs = DirectoryBlobs(f"{self.path}-checkpoints")

    def open(self) -> ramet.Run:
        return opened(ramet.Storage(self.path, **self.storage))

    def end(self, *counts: int) -> list[list[Checkpoint]]:
        """End so many turns together, again and again."""
        store = SQLiteStore(self.path)
        return [end(store, self.blobs, run := self.open(), asked(run, count)) for count in counts]

    def files(self) -> set[str]:
        return set(self.blobs.sizes("run"))

    def standing(self) -> list[Checkpoint]:
        """Return what members go on from."""
        kept = [member.checkpoint for member in self.open().population]
        return [checkpoint for checkpoint in kept if checkpoint is not None]

    def whole(self) -> bool:
        """Say whether every member's state is what it was."""
        result = result_in(self.path)
        loaded = [member.load() for member in result.members if member.checkpoint.stack]
        wanted = [state_of(kept) for kept in self.standing()]
        return all(map(alike, loaded, wanted)) and len(loaded) == len(wanted)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_round_is_one_file_and_each_state_in_it_can_be_loaded(place: Place) -> None:
    [written] = place.end(MEMBERS)

    assert place.files() == {written[0].stack}
    assert place.whole()
    assert alike(result_in(place.path).best.load(), state_of(written[-1]))
    assert findings_in(place.path) == []


def test_a_state_that_is_written_alone_is_a_file_by_itself(place: Place) -> None:
    run = place.open()
    turns = asked(run, 1)
    [kept] = Checkpoints(place.blobs, "run").begin_to_write([{"w": np.zeros(2)}], turns).wait()

    assert (kept.stack, kept.row) == (None, 0)
    assert place.files() == {kept.key}


def test_states_that_are_not_alike_are_files_by_themselves(place: Place) -> None:
    run = place.open()
    turns = asked(run, 2)
    states = [{"w": np.zeros(2)}, {"w": np.zeros(3)}]
    written = Checkpoints(place.blobs, "run").begin_to_write(states, turns).wait()

    assert place.files() == {kept.key for kept in written}
    assert [kept.stack for kept in written] == [None, None]


def test_the_log_of_states_by_themselves_does_not_mention_stacks() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    ended = [event for event in result.events if isinstance(event, TurnEnded)]
    assert ended
    for event in ended:
        assert b"stack" not in ramet.events.encode(event)
        assert b"row" not in ramet.events.encode(event)


def test_few_states_that_are_needed_are_taken_out_of_their_stack(place: Place) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 2)
    would_go = place.open().prune(dry_run=True)
    assert place.files() == {first[0].stack, second[0].stack}
    gone = place.open().prune()

    assert gone == would_go
    assert gone.keys() == {first[0].stack}
    assert place.files() == {first[10].key, first[11].key, second[0].stack}
    assert place.whole()
    assert findings_in(place.path) == []


def test_what_pruning_says_that_it_frees_is_what_it_frees(place: Place) -> None:
    place.end(MEMBERS, MEMBERS - 2)
    before = sum(place.blobs.sizes("run").values())
    gone = place.open().prune()

    assert before - sum(place.blobs.sizes("run").values()) == sum(gone.values()) > 0


def test_a_stack_of_which_a_quarter_is_needed_stays_whole(place: Place) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 3)

    assert place.open().prune() == {}
    assert place.files() == {first[0].stack, second[0].stack}


def test_a_stack_of_which_nothing_is_needed_goes(place: Place) -> None:
    first, second = place.end(MEMBERS, MEMBERS)

    assert place.open().prune().keys() == {first[0].stack}
    assert place.files() == {second[0].stack}


def test_pruning_again_changes_nothing(place: Place) -> None:
    place.end(MEMBERS, MEMBERS - 2)
    place.open().prune()
    before = place.files()

    assert place.open().prune() == {}
    assert place.files() == before


def test_a_stack_that_is_about_to_be_committed_stays(place: Place) -> None:
    run = place.open()
    turns = asked(run, MEMBERS)
    states = [{"w": np.zeros(2)} for _ in turns]
    written = Checkpoints(place.blobs, "run").begin_to_write(states, turns).wait()

    assert place.open().prune() == {}
    assert place.files() == {written[0].stack}


def test_the_best_alone_is_taken_out_when_the_run_is_over(tmp_path: Path) -> None:
    place = Place(tmp_path, keep="best")
    _, second = place.end(MEMBERS, MEMBERS)
    place.open().prune()

    assert place.files() == {second[-1].key}
    assert alike(result_in(place.path).best.load(), state_of(second[-1]))


def test_all_stacks_stay_whole_if_a_run_keeps_all(tmp_path: Path) -> None:
    place = Place(tmp_path, keep="all")
    first, second = place.end(MEMBERS, MEMBERS)

    assert place.open().prune() == {}
    assert place.files() == {first[0].stack, second[0].stack}
    assert all(alike(read_state(place.blobs, "run", kept), state_of(kept)) for kept in first)


PRUNER = """
import sys, ramet
from pathlib import Path
from tests.engine.test_stacks import Place
run = Place(Path(sys.argv[1])).open()
from ramet import faults
faults.arm(sys.argv[2])
run.prune()
"""


@pytest.mark.parametrize(
    "point", ["blob-written:1", "blob-kept:1", "blob-written:2", "blob-kept:2"]
)
def test_who_is_killed_while_states_are_taken_out_loses_nothing(place: Place, point: str) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 2)
    command = [sys.executable, "-c", PRUNER, os.fspath(place.path.parent), point]
    killed = subprocess.run(command, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert first[0].stack in place.files()
    assert place.whole()
    assert findings_in(place.path) == []
    place.open().prune()
    assert place.files() == {first[10].key, first[11].key, second[0].stack}
    assert place.whole()


def test_who_is_killed_while_stacks_are_deleted_loses_nothing(place: Place) -> None:
    place.end(MEMBERS, MEMBERS - 2)
    place.end(2)
    place.blobs.put("run", "0-0-" + "0" * 32, [b"left by an earlier run"])
    command = [sys.executable, "-c", PRUNER, os.fspath(place.path.parent), "pruning"]
    killed = subprocess.run(command, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert place.whole()
    place.open().prune()
    assert place.whole()
    assert len(place.files()) == 2


class Between:
    """Blobs in which something happens before the nth read of a file."""

    def __init__(self, blobs: DirectoryBlobs, nth: int, happens: Callable[[], Any]) -> None:
        self._blobs, self._left, self._happens = blobs, nth, happens

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._blobs, name)
        if name not in {"get", "get_ranges"}:
            return found

        def read(*args: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._happens()
            return found(*args)

        return read


# The file by itself, the stack's length, header and row.
@pytest.mark.parametrize("nth", range(1, 5))
def test_a_state_that_is_taken_out_while_it_is_read_is_found(place: Place, nth: int) -> None:
    first, _ = place.end(MEMBERS, MEMBERS - 2)
    happened: list[Any] = []
    run = place.open()
    blobs: Any = Between(place.blobs, nth, lambda: happened.append(run.prune()))

    assert alike(read_state(blobs, "run", first[11]), state_of(first[11]))
    assert happened


# The stack's length, header and the whole of it.
@pytest.mark.parametrize("nth", range(1, 4))
def test_states_that_are_taken_out_while_they_are_read_are_found(place: Place, nth: int) -> None:
    first, _ = place.end(MEMBERS, MEMBERS - 2)
    blobs: Any = Between(place.blobs, nth, place.open().prune)

    found = read_states(blobs, "run", first[9:])
    assert isinstance(found[0], CheckpointMissing)
    assert alike(found[1:], [state_of(kept) for kept in first[10:]])


def test_two_that_prune_at_once_lose_nothing(place: Place) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 2)
    store_view = place.open()
    blobs: Any = Between(place.blobs, 3, place.open().prune)
    view = ramet.history.load(place.path).population
    Checkpoints(blobs, "run").prune(view, "lineage")

    assert store_view.prune() == {}
    assert place.files() == {first[10].key, first[11].key, second[0].stack}
    assert place.whole()


class Counting:
    """Blobs that count reads, with or without ranges."""

    def __init__(self, blobs: DirectoryBlobs, *, ranges: bool) -> None:
        self._blobs, self._ranges = blobs, ranges
        self.whole, self.bytes_read = 0, 0

    def get(self, run: str, key: str) -> Buffer:
        data = self._blobs.get(run, key)
        self.whole += 1
        self.bytes_read += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        if name != "get_ranges" or not self._ranges:
            raise AttributeError(name)

        def get_ranges(run: str, key: str, ranges: Any) -> Buffer:
            data = self._blobs.get_ranges(run, key, ranges)
            self.bytes_read += len(data)
            return data

        return get_ranges


def test_one_state_of_a_large_stack_is_read_without_the_others(place: Place) -> None:
    [written] = place.end(MEMBERS)
    blobs: Any = Counting(place.blobs, ranges=True)
    read_state(blobs, "run", written[3])
    [size] = place.blobs.sizes("run").values()

    assert blobs.whole == 0
    assert blobs.bytes_read < size / 3


@pytest.mark.parametrize("ranges", [True, False])
def test_many_states_of_a_stack_are_read_at_once(place: Place, *, ranges: bool) -> None:
    [written] = place.end(MEMBERS)
    blobs: Any = Counting(place.blobs, ranges=ranges)
    found = read_states(blobs, "run", written)

    assert alike(found, [state_of(kept) for kept in written])
    assert blobs.whole == 1


def test_blobs_without_ranges_give_each_state_too(place: Place) -> None:
    [written] = place.end(MEMBERS)
    blobs: Any = Counting(place.blobs, ranges=False)

    assert all(alike(read_state(blobs, "run", kept), state_of(kept)) for kept in written)


def test_a_damaged_row_is_damage_of_its_member_alone(place: Place) -> None:
    [written] = place.end(MEMBERS)
    file = place.blobs.path_of("run", str(written[0].stack))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # Of the last row of the array that is last in the file.
    file.write_bytes(data)

    assert [finding.key for finding in findings_in(place.path)] == [written[-1].key]
    with pytest.raises(CheckpointDamaged, match=rf"{written[-1].key} of run 'run', row 11 of"):
        result_in(place.path).best.load()
    for found in (
        read_states(place.blobs, "run", written),
        read_states(place.blobs, "run", written[:2]),
    ):
        for kept, state in zip(written[:11], found, strict=False):
            assert alike(state, state_of(kept))


def test_a_stack_that_was_cut_off_gives_the_rows_that_are_left(place: Place) -> None:
    run, store = place.open(), SQLiteStore(place.path)
    states = [{"w": np.full(1000, float(row))} for row in range(MEMBERS)]
    written = Checkpoints(place.blobs, "run").begin_to_write(states, asked(run, MEMBERS)).wait()
    file = place.blobs.path_of("run", str(written[0].stack))
    file.write_bytes(file.read_bytes()[:-1])
    del store

    found = read_states(place.blobs, "run", written)
    assert alike(found[:-1], states[:-1])
    assert isinstance(found[-1], CheckpointDamaged)


def test_a_stack_with_a_damaged_state_that_is_needed_is_not_deleted(place: Place) -> None:
    first, _ = place.end(MEMBERS, MEMBERS - 2)
    file = place.blobs.path_of("run", str(first[0].stack))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    place.open().prune()

    assert first[0].stack in place.files()
    assert alike(read_state(place.blobs, "run", first[10]), state_of(first[10]))


def test_a_state_that_is_in_no_file_is_missing_and_its_stack_is_named(place: Place) -> None:
    [written] = place.end(MEMBERS)
    place.blobs.delete("run", place.files())
    with pytest.raises(CheckpointMissing, match=f"{written[0].key} .* {written[0].stack} there"):
        read_state(place.blobs, "run", written[0])
    assert len(findings_in(place.path)) == MEMBERS


def test_a_row_that_a_stack_does_not_have_is_damage(place: Place) -> None:
    [written] = place.end(MEMBERS)
    for row in (MEMBERS, 2**63 - 1):
        beyond = Checkpoint(
            member=0, turn=0, step=4, digest=written[0].digest, stack=written[0].stack, row=row
        )
        with pytest.raises(CheckpointDamaged, match=f"has 12 and {beyond.key} is in row"):
            read_state(place.blobs, "run", beyond)
        [found] = read_states(place.blobs, "run", [beyond])
        assert isinstance(found, CheckpointDamaged)


def test_a_member_goes_on_from_another_state_if_its_row_is_damaged(place: Place) -> None:
    [first] = place.end(MEMBERS)
    file = place.blobs.path_of("run", str(first[0].stack))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    result = ramet.run(Adding(), SPACE, STRATEGY, steps=8, mode="max", seed=0, store=place.path)
    lost = [event.key for event in result.events if isinstance(event, CheckpointLost)]

    assert lost == [first[-1].key]
    assert result.population.done
    assert findings_in(place.path) == []


class Adding:
    """A task of states like those of the stacks."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": np.zeros(50), "count": np.asarray(0)}

    def step(self, state: dict[str, Any], hparams: Any, steps: int, rng: Any) -> dict[str, Any]:
        return {"w": state["w"] + hparams["lr"] * hparams["decay"], "count": state["count"] + 1}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["w"].sum())


def test_members_go_on_from_their_rows(place: Place) -> None:
    place.end(MEMBERS)
    result = ramet.run(
        Adding(), SPACE, STRATEGY, steps=8, mode="max", seed=0, store=place.path, workers=1
    )

    assert not any(isinstance(event, CheckpointLost) for event in result.events)
    assert sorted(int(member.load()["count"]) for member in result.members) == [1] * MEMBERS
    assert findings_in(place.path) == []


def test_a_backup_has_the_stacks_and_what_was_taken_out(place: Place, tmp_path: Path) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 2)
    ramet.history.backup(place.path, tmp_path / "whole.db")
    place.open().prune()
    ramet.history.backup(place.path, tmp_path / "pruned.db")

    def there(name: str) -> set[str]:
        return set(DirectoryBlobs(tmp_path / f"{name}.db-checkpoints").sizes("run"))

    assert there("whole") == {first[0].stack, second[0].stack}
    assert there("pruned") == {first[10].key, first[11].key, second[0].stack}
    assert findings_in(tmp_path / "whole.db") == findings_in(tmp_path / "pruned.db") == []


def test_a_run_that_is_overwritten_loses_its_stacks(place: Place) -> None:
    first, second = place.end(MEMBERS, MEMBERS - 2)
    result = ramet.run(
        Adding(),
        SPACE,
        STRATEGY,
        steps=8,
        mode="max",
        seed=0,
        store=place.path,
        existing="overwrite",
    )

    assert not place.files() & {first[0].stack, second[0].stack}
    assert result.population.done
    assert findings_in(place.path) == []


def test_stacks_in_memory_are_read_and_pruned_too() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    place = ramet.Storage(store, blobs=blobs, keep="lineage")
    first = end(store, blobs, run := opened(place), asked(run, MEMBERS))
    second = end(store, blobs, run := opened(place), asked(run, MEMBERS - 2))
    opened(place).prune()

    assert set(blobs.sizes("run")) == {first[10].key, first[11].key, second[0].stack}
    assert examine(store, blobs, "run") == []


@pytest.mark.parametrize("stacked", [True, False])
def test_long_bytes_in_a_state_are_each_members_own(*, stacked: bool, place: Place) -> None:
    run = place.open()
    turns = asked(run, 3)
    texts = [b"the same for all" * 99] * 3 if stacked else [bytes([n]) * 2000 for n in range(3)]
    states: list[Any] = [{"w": np.full(2, float(n)), "text": texts[n]} for n in range(3)]
    given = (
        Stack({"w": np.stack([state["w"] for state in states]), "text": texts[0]}, rows=3)
        if stacked
        else states
    )
    assert [turn.steps for turn in turns] == [4] * 3
    kept = run.tell_all(turns, [0.0] * 3, states=given)

    read = read_states(place.blobs, "run", [each for each in kept if each])
    assert all(map(alike, read, states))

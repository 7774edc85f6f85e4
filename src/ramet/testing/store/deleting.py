"""A run is deleted or renamed all at once, and not while others train it."""

from typing import Any

import pytest
from msgspec.structs import replace

from ramet.errors import LeaseLost, LogMoved, NameTaken, RunInUse, RunNotFound
from ramet.store import Store
from ramet.testing.clock import FakeClock
from ramet.testing.store_steps import begin, claim, end_turn, fall_silent, opening, standings


def find_last(store: Store, run: str = "lm") -> int:
    """Return the number of a run's last event."""
    return len(store.events(run)) - 1


def delete(store: Store, run: str = "lm", *, worker: str = "later") -> None:
    """Delete a run as it is now."""
    store.delete_run(run, worker=worker, after=find_last(store, run))


def begin_replay(store: Store, name: str, *, of: str) -> None:
    """Begin a replay of a run."""
    store.open_run(replace(opening(name), strategy=replayed(of)), worker="first")


def replayed(of: str) -> dict[str, Any]:
    """Return the strategy of a replay, as the first event of its run has it."""
    return {"type": "Replay", "of": of, "seeds": [0], "renewed": []}


def rename(store: Store, run: str = "lm", to: str = "gpt") -> None:
    """Rename a run as it is now."""
    store.rename_run(run, to, worker="later", after=find_last(store, run))


class Deleting:
    """Tests of deleting runs."""

    def test_a_deleted_run_is_gone_and_others_stay(self, store: Store) -> None:
        for name in ("lm", "other"):
            begin(store, name)
            end_turn(store, claim(store, name=name))
        before = store.events("other"), store.seats("other")
        delete(store)
        assert store.runs() == ["other"]
        with pytest.raises(RunNotFound):
            store.events("lm")
        assert (store.events("other"), store.seats("other")) == before

    def test_a_run_begun_later_under_the_name_is_another_one(
        self, store: Store, clock: FakeClock
    ) -> None:
        silent, record = fall_silent(store, clock), store.record("lm")
        delete(store)
        begin(store)
        new = claim(store)
        assert store.record("lm") != record
        assert new.token > silent.token
        with pytest.raises(LeaseLost):
            end_turn(store, silent)
        end_turn(store, new)
        assert len(store.events("lm")) == 2

    def test_a_run_that_others_train_is_not_deleted_but_one_that_the_same_worker_holds_is(
        self, store: Store
    ) -> None:
        begin(store)
        claim(store, "gpu-03")
        before = store.events("lm"), store.seats("lm")
        with pytest.raises(RunInUse, match="before it is deleted, but gpu-03 hold"):
            delete(store)
        assert (store.events("lm"), store.seats("lm")) == before
        delete(store, worker="gpu-03")
        assert store.runs() == []

    def test_a_run_to_which_others_have_written_is_not_deleted(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        with pytest.raises(LogMoved):
            store.delete_run("lm", worker="later", after=0)
        assert find_last(store) == 1

    def test_a_run_that_is_not_there_cannot_be_deleted(self, store: Store) -> None:
        begin(store, "other")
        with pytest.raises(RunNotFound):
            store.delete_run("lm", worker="later", after=0)


class Renaming:
    """Tests of renaming runs."""

    def test_a_renamed_run_keeps_its_log_its_members_and_its_number(self, store: Store) -> None:
        for name in ("lm", "other"):
            begin(store, name)
        end_turn(store, claim(store))
        record, seats = store.record("lm"), store.seats("lm")
        first, *log = store.events("lm")
        rename(store)
        assert store.runs() == ["gpt", "other", "lm"]
        assert store.opening("gpt") == opening("gpt")
        renamed = replace(first, event=replace(first.event, name="gpt"))
        assert store.events("gpt") == [renamed, *log]
        assert (store.record("gpt"), store.seats("gpt")) == (record, seats)
        end_turn(store, claim(store, name="gpt"))

    def test_a_run_that_has_trained_nothing_is_left_under_the_old_name(
        self, store: Store, clock: FakeClock
    ) -> None:
        silent, record = fall_silent(store, clock), store.record("lm")
        rename(store)
        assert store.opening("lm") == opening("lm")
        assert store.record("lm") != record
        assert [member.trained for member in standings(store)] == [0] * 3
        with pytest.raises(LeaseLost):
            end_turn(store, silent)
        delete(store)
        assert store.runs() == ["gpt"]

    def test_replays_of_a_renamed_run_are_replays_of_its_new_name(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin_replay(store, "older", of="lm")
        clock.sleep(1.0)
        begin(store)
        for name, of in (("again", "lm"), ("twice", "again"), ("other", "elsewhere")):
            begin_replay(store, name, of=of)
        end_turn(store, claim(store, name="again"))
        before = {name: store.events(name) for name in ("older", "again", "twice", "other")}
        rename(store)
        first, *log = before["again"]
        expected = replace(first, event=replace(first.event, strategy=replayed("gpt")))
        assert store.events("again") == [expected, *log]
        assert store.opening("again") == expected.event
        # The first repeats an earlier run of the name.
        for name in ("older", "twice", "other"):
            assert store.events(name) == before[name]
        end_turn(store, claim(store, name="again"))

    def test_replays_of_a_deleted_run_are_not_of_one_that_gets_its_name(self, store: Store) -> None:
        for name in ("lm", "gpt"):
            begin(store, name)
        begin_replay(store, "again", of="gpt")
        delete(store, "gpt")
        rename(store)
        assert store.opening("again").strategy["of"] is None
        delete(store, "gpt")
        # It is a run like any other then, and may get that name itself.
        begin_replay(store, "twice", of="gpt")
        rename(store, "twice", "gpt")
        assert store.opening("gpt").strategy["of"] is None

    def test_a_name_that_another_run_has_is_refused(self, store: Store) -> None:
        for name in ("lm", "other"):
            begin(store, name)
        for taken in ("other", "lm"):
            with pytest.raises(NameTaken, match=f"there is a run '{taken}'"):
                rename(store, to=taken)
        assert store.runs() == ["lm", "other"]

    def test_a_run_that_workers_train_is_not_renamed(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        claim(store, "gpu-03")
        before = store.events("lm"), store.seats("lm")
        with pytest.raises(RunInUse, match="before it is renamed, but gpu-03 hold"):
            rename(store)
        assert store.runs() == ["lm"]
        assert (store.events("lm"), store.seats("lm")) == before

    def test_a_run_to_which_others_have_written_is_not_renamed(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        with pytest.raises(LogMoved):
            store.rename_run("lm", "gpt", worker="later", after=0)
        assert store.runs() == ["lm"]

"""A run is overwritten all at once, and not while others train it."""

import pytest

from ramet.errors import LeaseLost, RunInUse
from ramet.store import Store
from ramet.testing.clock import FakeClock
from ramet.testing.store_steps import (
    TTL_S,
    begin,
    claim,
    claims,
    end_turn,
    fall_silent,
    opening,
    standings,
)


class Overwriting:
    """Tests of overwriting runs."""

    def test_a_run_that_is_not_there_is_begun(self, store: Store) -> None:
        assert store.overwrite_run(opening(), worker="first") == store.opening("lm")
        assert len(store.events("lm")) == 1

    def test_an_overwritten_run_leaves_nothing_behind(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        returned = store.overwrite_run(opening(members=5, steps=40), worker="later")
        assert returned == store.opening("lm")
        (logged,) = store.events("lm")
        assert (logged.event, logged.worker) == (returned, "later")
        assert [member.trained for member in standings(store)] == [0] * 5
        assert store.summary("lm") is None
        assert len(list(claims(store))) == 5

    def test_other_runs_stay_and_the_new_one_is_the_last(self, store: Store) -> None:
        for name in ("lm", "other"):
            begin(store, name)
        before = store.events("other"), store.seats("other")
        store.overwrite_run(opening(), worker="later")
        assert store.runs() == ["other", "lm"]
        assert (store.events("other"), store.seats("other")) == before

    def test_a_run_that_workers_train_is_not_overwritten(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        claim(store, "gpu-03")
        before = store.events("lm"), store.seats("lm")
        with pytest.raises(RunInUse, match="gpu-03 hold members of run 'lm'"):
            store.overwrite_run(opening(), worker="later")
        assert (store.events("lm"), store.seats("lm")) == before

    def test_a_silent_worker_of_the_old_run_writes_nothing_to_the_new_one(
        self, store: Store, clock: FakeClock
    ) -> None:
        silent = fall_silent(store, clock)
        store.overwrite_run(opening(), worker="later")
        new = claim(store)
        assert new.token > silent.token
        for verb in (lambda: end_turn(store, silent), lambda: store.renew(silent, ttl_s=TTL_S)):
            with pytest.raises(LeaseLost):
                verb()
        store.release(silent)
        end_turn(store, new)

    def test_a_run_may_be_overwritten_again_and_again_and_gets_another_number(
        self, store: Store
    ) -> None:
        begin(store)
        begin(store, "other")
        records = [store.record("other"), store.record("lm")]
        for _ in range(3):
            store.overwrite_run(opening(), worker="later")
            records.append(store.record("lm"))
        assert len(set(records)) == 5
        assert store.record("other") == records[0]

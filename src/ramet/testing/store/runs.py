"""Runs are opened once, kept apart, and continued until their budget is spent."""

import math
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ramet.errors import LogMoved, RunNotFound
from ramet.events import Birth, Confirmed, Confirming, Extended, Stopped
from ramet.population import Candidate
from ramet.store import Lease, Store, standing
from ramet.testing.store_steps import (
    TTL_S,
    begin,
    claim,
    end_turn,
    none_is_free,
    opening,
    read_population,
    standings,
)


class Runs:
    """Tests of opening, extending and stopping runs."""

    def test_a_run_that_was_not_opened_is_named_in_the_error(self, store: Store) -> None:
        with pytest.raises(RunNotFound, match="'lm' was not"):
            store.claim("lm", worker="gpu-03", ttl_s=TTL_S)

    def test_opening_a_run_again_returns_the_opening_on_record(self, store: Store) -> None:
        first = begin(store)
        assert store.open_run(opening(members=5), worker="late") == first
        assert store.opening("lm") == first
        assert len(standings(store)) == 3

    def test_an_opening_is_what_its_first_event_is_read_as(self, store: Store) -> None:
        births = (Birth(hparams={"lr": 0.5}, data=(1, math.nan)),)
        returned = store.open_run(replace(opening(), births=births), worker="first")
        read = store.events("lm")[0].event
        assert [returned, store.opening("lm"), store.open_run(opening(), worker="late")] == [
            read
        ] * 3

    def test_every_verb_names_the_run_that_was_not_opened(self, store: Store) -> None:
        begin(store, "other")
        lease = Lease(
            run="lm", member=0, worker="gpu-03", token=1, given_at=0.0, expires_at=0.0, head=0
        )
        verbs: list[Callable[[], object]] = [
            lambda: store.opening("lm"),
            lambda: store.claim("lm", worker="gpu-03", ttl_s=TTL_S),
            lambda: store.seize("lm", 0, turn=0, worker="gpu-03", ttl_s=TTL_S),
            lambda: store.renew(lease, ttl_s=TTL_S),
            lambda: store.release(lease),
            lambda: store.disown("lm", worker="gpu-03"),
            lambda: store.commit(lease, [], []),
            lambda: store.append("lm", Stopped(), worker="cli", after=0),
            lambda: store.events("lm"),
            lambda: store.summary("lm"),
            lambda: store.seats("lm"),
        ]
        for verb in verbs:
            with pytest.raises(RunNotFound, match=r"'lm' was not; this store has \['other'\]"):
                verb()

    def test_runs_of_one_store_do_not_meet(self, store: Store) -> None:
        begin(store, "lm")
        begin(store, "other", members=1)
        end_turn(store, claim(store))
        assert [len(store.events(name)) for name in ("lm", "other")] == [2, 1]
        assert store.runs() == ["lm", "other"]

    def test_an_extended_run_goes_on(self, store: Store) -> None:
        begin(store, members=1)
        for _ in range(2):
            end_turn(store, claim(store))
        assert store.append("lm", Extended(steps=30), worker="cli", after=2) == 3
        end_turn(store, claim(store))
        assert none_is_free(store)
        assert read_population(store).steps == 30

    def test_an_event_of_the_run_is_not_written_on_an_old_log(self, store: Store) -> None:
        begin(store)
        end_turn(store, claim(store))
        with pytest.raises(LogMoved):
            store.append("lm", Stopped(), worker="cli", after=0)
        store.append("lm", Stopped(), worker="cli", after=1)
        assert read_population(store).stopped

    def test_fresh_evaluations_are_written_once_and_read_back(self, store: Store) -> None:
        begin(store, members=1)
        for _ in range(2):
            end_turn(store, claim(store))
        before = read_population(store)
        best = before.best
        assert best is not None
        candidate = Candidate(score=best.score, checkpoint=best.checkpoint)
        store.append("lm", Confirming(candidates=(candidate,), times=2), worker="me", after=2)
        # What two processes write on the same log is written once.
        kept = best.checkpoint
        score = Confirmed(member=kept.member, turn=kept.turn, repeat=0, score=0.25)
        assert store.append("lm", score, worker="me", after=3) == 4
        with pytest.raises(LogMoved):
            store.append("lm", score, worker="other", after=3)
        store.append("lm", replace(score, repeat=1, score=None), worker="other", after=4)

        assert [logged.event for logged in store.events("lm", 3)] == [
            score,
            replace(score, repeat=1, score=None),
        ]
        found = read_population(store)
        assert found.confirmation is not None
        assert found.confirmation.candidates[0].fresh == (0.25, None)
        assert replace(found, confirmation=None) == before
        assert standings(store) == [standing(member) for member in before]

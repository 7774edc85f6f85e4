"""Reads return consistent copies of the log, its summary and the seats."""

from ramet.events import Annotated, fold
from ramet.store import Standing, Store, standing
from ramet.store.summary import summarize
from ramet.testing.clock import FakeClock
from ramet.testing.store_steps import (
    TTL_S,
    at_once,
    begin,
    claim,
    claims,
    end_turn,
    read_population,
    standings,
)


class Reading:
    """Tests of what reads return."""

    def test_i4_the_members_are_what_the_events_lead_to(self, store: Store) -> None:
        begin(store)
        for _ in range(4):
            end_turn(store, claim(store))
        assert [standing(member) for member in read_population(store)] == standings(store)

    def test_i5_what_was_read_does_not_change(self, store: Store) -> None:
        begin(store)
        before = store.events("lm"), store.seats("lm")
        copies = list(before[0]), list(before[1])
        end_turn(store, claim(store))
        assert before == copies

    def test_i8_events_are_numbered_without_gaps(self, store: Store) -> None:
        begin(store, members=50)

        def work() -> None:
            for lease in claims(store):
                note = Annotated(member=lease.member, data={"seen": True})
                # No budget left, so that each is claimed once.
                done = Standing(member=lease.member, trained=20)
                store.commit(lease, [note, note], [done])

        at_once(work)
        log = store.events("lm")
        assert [logged.number for logged in log] == list(range(101))
        # The two events of a commit stand together.
        owners = [logged.event.member for logged in log[1:]]  # type: ignore[union-attr]  # all are notes
        assert owners[::2] == owners[1::2]

    def test_reading_goes_on_behind_what_was_read(self, store: Store) -> None:
        begin(store)
        last = end_turn(store, claim(store))
        assert store.events("lm", last) == []
        end_turn(store, claim(store))
        assert [logged.number for logged in store.events("lm", last)] == [last + 1]

    def test_a_part_of_the_log_is_its_first_events(self, store: Store) -> None:
        begin(store)
        for _ in range(3):
            end_turn(store, claim(store))
        assert [logged.number for logged in store.events("lm", 0, most=2)] == [1, 2]
        assert [logged.number for logged in store.events("lm", 1, most=5)] == [2, 3]
        assert store.events("lm", 3, most=5) == []

    def test_reading_begins_and_ends_at_any_event_of_a_commit(self, store: Store) -> None:
        begin(store)
        for many in (600, 3):
            lease = claim(store)
            notes = [Annotated(member=lease.member, data=nth) for nth in range(many)]
            assert store.commit(lease, notes, []) == (600 if many == 600 else 603)
        log = store.events("lm")
        assert [logged.number for logged in log] == list(range(604))
        for after in (0, 1, 255, 256, 257, 599, 600, 602, 603):
            assert store.events("lm", after) == log[after + 1 :]
            for most in (1, 2, 256, 300):
                assert store.events("lm", after, most=most) == log[after + 1 :][:most]

    def test_a_summary_is_what_the_log_leads_to(self, store: Store) -> None:
        begin(store)
        lease = claim(store)
        note = Annotated(member=lease.member, data="seen")
        # As many as a run of some hours has.
        notes = [note] * 5_000
        after = fold([store.opening("lm"), *notes])
        last = store.commit(lease, notes, [], population=lambda _: after)
        known = store.summary("lm")
        if known is not None:
            assert known.last == last
            assert known == summarize(store.events("lm"), "lm")

    def test_a_seat_tells_who_is_at_work_and_since_when_nothing_was_heard(
        self, store: Store, clock: FakeClock
    ) -> None:
        begin(store)
        lease = claim(store, "gpu-17")
        clock.sleep(10)
        assert store.seats("lm")[0].worker == "gpu-17"
        assert store.seats("lm")[0].silent_s == 10
        store.renew(lease, ttl_s=TTL_S)
        assert store.seats("lm")[0].silent_s == 0
        clock.sleep(TTL_S + 1)
        assert store.seats("lm")[0].worker is None

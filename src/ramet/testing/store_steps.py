"""The steps of a small run in any store, for tests of stores."""

import threading
from collections.abc import Callable, Collection, Iterator

from ramet.domains import Uniform
from ramet.events import AnyEvent, Birth, RunOpened, TurnEnded, fold
from ramet.population import Population
from ramet.space import Space
from ramet.store import Lease, Standing, Store, standing
from ramet.testing.clock import FakeClock

TTL_S = 30.0


def opening(
    name: str = "lm", *, members: int = 3, steps: int = 20, synchronous: bool = False
) -> RunOpened:
    """Return the opening of a small run."""
    return RunOpened(
        name=name,
        seed=0,
        mode="max",
        steps=steps,
        synchronous=synchronous,
        turn_steps=10,
        keep="lineage",
        space=Space(lr=Uniform(0.0, 1.0)).describe(),
        strategy={},
        births=tuple(Birth(hparams={"lr": 0.5}) for _ in range(members)),
    )


def begin(
    store: Store, name: str = "lm", *, members: int = 3, synchronous: bool = False
) -> RunOpened:
    """Open a small run in a store."""
    opened = opening(name, members=members, synchronous=synchronous)
    return store.open_run(opened, worker="first")


def standings(store: Store, name: str = "lm") -> list[Standing]:
    """Return how the members of a run stand."""
    return [seat.standing for seat in store.seats(name)]


def read_population(store: Store, name: str = "lm") -> Population:
    """Return the population that the log of a run leads to."""
    return fold(logged.event for logged in store.events(name))


def claim(
    store: Store,
    worker: str = "gpu-03",
    *,
    prefer: int | None = None,
    among: Collection[int] | None = None,
    name: str = "lm",
) -> Lease:
    """Claim a member; at least one must be free."""
    lease = store.claim(name, worker=worker, ttl_s=TTL_S, prefer=prefer, among=among)
    assert lease is not None
    return lease


def take_over(store: Store, clock: FakeClock, *, late_s: float = 1.0) -> tuple[Lease, Lease]:
    """Let a lease of 'gpu-17' run out and 'gpu-03' claim the member; return both leases."""
    lost = claim(store, "gpu-17")
    clock.sleep(TTL_S + late_s)
    return lost, claim(store, "gpu-03")


def fall_silent(store: Store, clock: FakeClock) -> Lease:
    """Begin a run, claim a member and let the lease run out; return it."""
    begin(store)
    lost = claim(store)
    clock.sleep(TTL_S + 1.0)
    return lost


def claims(store: Store, name: str = "lm") -> Iterator[Lease]:
    """Claim members one by one until none is free."""
    while (lease := store.claim(name, worker="gpu-03", ttl_s=TTL_S)) is not None:
        yield lease


def claim_all(store: Store, worker: str = "gpu-03") -> list[Lease]:
    """Claim all free members at once."""
    return store.claim_all("lm", worker=worker, ttl_s=TTL_S)


def none_is_free(store: Store) -> bool:
    """Say whether no member is free."""
    return store.claim("lm", worker="gpu-05", ttl_s=TTL_S) is None


def seize(store: Store, member: int, *, turn: int) -> Lease | None:
    """Seize a member, if it has not ended the turn yet."""
    return store.seize("lm", member, turn=turn, worker="gpu-03", ttl_s=TTL_S)


def end_turn(store: Store, lease: Lease, *, after: int | None = None) -> int:
    """Commit a turn of ten steps."""
    events: list[AnyEvent] = [turn_of(store, lease)]
    population = fold(events, read_population(store, lease.run))
    return store.commit(lease, events, [standing(population[lease.member])], after=after)


def turn_of(store: Store, lease: Lease, *, score: float | None = 0.5) -> TurnEnded:
    """Return the event that a member ended a turn of ten steps."""
    before = standings(store, lease.run)[lease.member]
    return TurnEnded(
        member=lease.member,
        turn=before.turn,
        trained=before.trained + 10,
        step=before.step + 10,
        points=((before.step + 10, score),),
        digest="d",
    )


def standing_after(store: Store, events: list[AnyEvent], member: int) -> Standing:
    """Return how a member stands after these events are added to the log."""
    return standing(fold(events, read_population(store))[member])


def at_once(work: Callable[[], None]) -> None:
    """Run ``work`` in four threads at once."""
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

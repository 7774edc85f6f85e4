"""A worker's connection to a run's log: read new events, decide what follows a turn, write."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ramet.engine.run import run_events
from ramet.engine.run.consequences import consequences, decide_round, early_end
from ramet.errors import LogMoved
from ramet.events import AnyEvent, Copied, LeftUnread, Mapped
from ramet.history.following import Follower
from ramet.population import Member, Population
from ramet.randomness import Draws
from ramet.space import Space
from ramet.store.base import Lease, RunEvent, Standing, Store, standing
from ramet.strategies.base import Action, Prescribing, Renewing, Strategy
from ramet.strategies.pace import require_turn_steps


class Written(NamedTuple):
    """What a worker writes of one turn."""

    lease: Lease
    events: Sequence[AnyEvent]
    # Hyperparameters that the turn did not read.
    unread: Sequence[str] = ()


class Journal:
    """Keeps a replica of the population, so that only new events have to be read."""

    def __init__(
        self, store: Store, run: str, *, strategy: Strategy, space: Space, worker: str
    ) -> None:
        self.worker = worker
        self._store, self._strategy = store, strategy
        self._prescribing = strategy if isinstance(strategy, Prescribing) else None
        self._renewing = strategy if isinstance(strategy, Renewing) else None
        self._log = Follower(store, run)
        self.opening = self._log.opening
        self._replica = self._log.replica
        # The log describes the space's domains; the space itself has the user's conditions as well.
        self._replica.use_space(space)

    @property
    def population(self) -> Population:
        """The population as it was when the log was last read or written."""
        return self._replica.population

    @property
    def turns(self) -> int:
        """The number of turns ended in all."""
        return self._replica.turns

    @property
    def steps(self) -> int:
        """The budget of each member."""
        return self._replica.steps

    @property
    def round(self) -> int:
        """The number of rounds ended."""
        return self._replica.round

    @property
    def synchronous(self) -> bool:
        """Whether the run has rounds."""
        return self._strategy.synchronous

    def must_find_checkpoints(self) -> bool:
        """Return whether the log names checkpoints, which must then still exist."""
        if not self._names_checkpoints():
            # Others may have ended turns while this worker trained its first.
            self.catch_up()
        return self._names_checkpoints()

    def _names_checkpoints(self) -> bool:
        return any(member.checkpoint is not None for member in self._replica.members)

    @property
    def stopped(self) -> bool:
        """Whether the run is to stop: by request, at its target, or because a loop asked for it."""
        return self._replica.stopped

    @property
    def between_rounds(self) -> bool:
        """Whether no member has ended its turn of this round; resting members count as ended."""
        return not self._strategy.synchronous or self._replica.arrived == 0

    @property
    def unread(self) -> tuple[str, ...]:
        """The hyperparameters that a training loop has left unread."""
        return self._replica.unread

    @property
    def threads(self) -> int | None:
        """The threads of each process on record, or None."""
        return self._replica.threads

    @property
    def mapped(self) -> tuple[Mapped, ...]:
        """The numbers of members trained at once on record, in the order of their recording."""
        return self._replica.mapped

    @property
    def done(self) -> bool:
        """Whether every member has used its budget."""
        return self._replica.done

    @property
    def over(self) -> bool:
        """Whether there is nothing more to train: the budget is used, or the run has stopped."""
        return self._replica.over

    @property
    def has_score(self) -> bool:
        """Whether a member has weights with a finite score."""
        return any(member.weights_score is not None for member in self._replica.members)

    def member(self, id_: int) -> Member:
        """Return one member, without making a population of all."""
        return self._replica.members[id_]

    def turn_steps(self, member: Member) -> int:
        """Return the number of steps in a member's next turn."""
        prescribing, left = self._prescribing, self.steps - member.trained
        turn = (
            require_turn_steps(self._strategy)
            if prescribing is None
            else prescribing.prescribe(member).steps
        )
        return min(turn, left)

    @property
    def prescribed(self) -> bool:
        """Whether the strategy prescribes all turns beforehand, so that none may be given up."""
        return self._prescribing is not None

    @property
    def plain(self) -> bool:
        """Whether a turn depends on no more than its member's values and where it goes on from."""
        return self._prescribing is None and self._renewing is None

    def renews(self, member: Member) -> bool:
        """Return whether a member begins its next turn with renewed weights."""
        return self._renewing is not None and self._renewing.renews(member)

    def draws(self, member: Member) -> Draws:
        """Return the source of random draws for a member's next turn."""
        if self._prescribing is None:
            return Draws(self.opening.seed, member.id, member.turn)
        return self._prescribing.prescribe(member).draws

    def catch_up(self, head: int | None = None) -> None:
        """Read new events; with the number of the log's last event, only if that is new."""
        if head is None or head > self._replica.last:
            self._log.catch_up()

    def check_run(self) -> None:
        """Raise RunNotFound if another run has overwritten the one that this worker opened."""
        self._log.check_run()

    def commit(
        self,
        written: Sequence[Written],
        *,
        over: bool,
        first: Callable[[], object] = lambda: None,
    ) -> None:
        """Write the events of turns and, if they are over, what follows from them.

        Args:
            written: The events, by turn.
            over: Whether the turns are over.
            first: Called once it is decided what follows, before any of it is written.
        """
        while True:
            self.catch_up()
            self._check_leases(written)
            try:
                self._attempt(written, over=over, first=first)
            except LogMoved:
                self.check_run()
                continue
            return

    def _check_leases(self, written: Sequence[Written]) -> None:
        """Raise LeaseLost if another worker has ended one of the turns.

        The store would refuse it as well, but a strategy must not decide on what cannot be.
        """
        members = self._replica.members
        for lease, events, _ in written:
            turn = members[lease.member].turn
            for event in events:
                if getattr(event, "turn", turn) < turn:
                    self._store.renew(lease, ttl_s=lease.expires_at - lease.given_at)

    def foresee(self, written: Sequence[Written]) -> Population:
        """Return the population after these turns and what follows, if no other worker writes."""
        with self._replica.attempt():
            for news in self._unfold(written, over=True):
                self._replica.fold(news)
            return self._replica.population

    def decide(self, population: Population) -> list[Action]:
        """Return what the strategy would decide about a population at the end of its round."""
        return decide_round(self._strategy, population, seed=self.opening.seed)

    def write_once(self, lease: Lease, events: Sequence[AnyEvent]) -> None:
        """Write events that were decided on the current population, or raise LogMoved."""
        self._attempt([Written(lease, events)], over=False)

    def append(self, event: RunEvent) -> None:
        """Write an event of the run itself, unless it would change nothing."""
        run_events.append(self._store, self._log, event, worker=self.worker)

    def _attempt(
        self,
        written: Sequence[Written],
        *,
        over: bool,
        first: Callable[[], object] = lambda: None,
    ) -> None:
        """Commit turns, one after the other as far as events and decisions are concerned."""
        replica = self._replica
        round_, synchronous = replica.round, self._strategy.synchronous
        lease, *others = (each.lease for each in written)
        with replica.attempt() as attempt:
            events: list[AnyEvent] = []
            copied: list[Standing] = []
            # No other worker can change these before the commit.
            held = frozenset(each.lease.member for each in written)
            for news in self._unfold(written, over=over):
                # In a synchronous run, comparing the log's last number is enough.
                copied += () if synchronous else _find_sources(news, replica.members, held)
                replica.fold(news)
                events += news
            expected = replica.last + len(events)
            first()
            last = self._store.commit(
                lease,
                events,
                [standing(replica.members[id_]) for id_ in find_members(events)],
                beside=others,
                copied=copied,
                round=replica.round if replica.round > round_ else None,
                after=self._replica.last if synchronous else None,
                # What others wrote since is in the log, but not in the replica.
                population=lambda last: replica.population if last == expected else None,
            )
            if last == expected:
                self._replica.last = last
                attempt.keep()
        if not attempt.kept:
            # Other workers wrote in between; read their events first.
            self.catch_up()

    def _unfold(self, written: Sequence[Written], *, over: bool) -> Iterator[list[AnyEvent]]:
        """Yield the events of turns and what follows; each list must be folded before the next."""
        replica, strategy, round_ = self._replica, self._strategy, self._replica.round
        # In a synchronous run, nothing follows before all members have ended their turns.
        for ended in [written] if strategy.synchronous else [[each] for each in written]:
            yield _join_events(ended, self.unread)
            if not over or (strategy.synchronous and replica.arrived < len(replica.members)):
                continue
            yield consequences(strategy, replica, ended[-1].lease.member, seed=self.opening.seed)
            if not strategy.synchronous or replica.round > round_:
                yield early_end(replica)


def _join_events(written: Iterable[Written], said: Iterable[str]) -> list[AnyEvent]:
    """Return the events of turns, with those that say what is unread if that was not said yet."""
    events: list[AnyEvent] = []
    known = set(said)
    for each in written:
        if each.unread:
            events += [LeftUnread(name=name) for name in each.unread if name not in known]
            known.update(each.unread)
        events += each.events
    return events


def find_members(events: Iterable[AnyEvent]) -> list[int]:
    """Return the ids of the members that events are about."""
    ids = {id_ for event in events if (id_ := getattr(event, "member", None)) is not None}
    return sorted(ids)


def _find_sources(
    events: Iterable[AnyEvent], members: Sequence[Member], held: Collection[int]
) -> list[Standing]:
    """Return how the members stand that others copy their current weights from.

    Members that are ``held`` by the worker that writes are left out.
    """
    return [
        standing(members[event.source])
        for event in events
        if isinstance(event, Copied)
        and event.weights is not None
        and event.source not in held
        and event.weights.checkpoint == members[event.source].checkpoint
    ]

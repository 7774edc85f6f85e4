"""What a store in memory keeps of a run and of its members."""

from dataclasses import dataclass, field

from ramet.events import RunOpened, decode
from ramet.store.base import Lease, Standing


@dataclass(slots=True)
class Row:
    """A member: how it stands, and which worker holds it."""

    standing: Standing
    token: int = 0
    lease: Lease | None = None
    heard_at: float = 0.0
    # Which process holds the lease.
    process: str | None = None
    # How many leases of the present turn ran out and were taken over.
    lost: int = 0


@dataclass(slots=True)
class Record:
    """A run. Its events are kept as bytes, so that each read returns new values, as from a file."""

    opening: RunOpened
    rows: list[Row]
    # The budget of each member.
    steps: int
    # None in an asynchronous run.
    round: int | None
    # Another one for each run that is begun.
    number: int
    log: list[tuple[float, str, float | None, bytes]] = field(default_factory=list)

    def reopen(self, first: bytes) -> None:
        """Replace the first event, as another name in it makes necessary."""
        at, by, took_s, _ = self.log[0]
        self.log[0] = at, by, took_s, first
        opening = decode(first)
        assert isinstance(opening, RunOpened)  # noqa: S101 - it replaces one
        self.opening = opening

    @property
    def head(self) -> int:
        return len(self.log) - 1

    @property
    def token(self) -> int:
        """The greatest token of its leases."""
        return max(row.token for row in self.rows)

    def may_train(self, row: Row) -> bool:
        waiting = self.round is not None and row.standing.turn != self.round
        return not waiting and row.standing.trained < self.steps


def rank_urgency(row: Row, prefer: int | None) -> tuple[int, bool, int]:
    """Return what members are claimed in the order of."""
    standing = row.standing
    return standing.trained, standing.member != prefer, standing.member

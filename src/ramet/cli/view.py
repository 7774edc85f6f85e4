"""A run as the command line shows it."""

from typing import Any

from ramet.events import AttemptFailed, Logged, RunOpened
from ramet.history.following import Overview, State, state_of
from ramet.history.narrating import find_last_failure
from ramet.history.reported import report_score, sign_of
from ramet.population import Population
from ramet.store import Seat, Store

# How many events the last failure is looked for in.
LOOK_BACK = 20_000


class View:
    """A run, updated as its log grows."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self._overview = Overview(store, name)
        self.seats: list[Seat] = store.seats(name)
        # How many failures there were when the last one was read from the log, and that last one.
        self._looked_at = 0
        self._failure: Logged | None = None

    def catch_up(self) -> None:
        """Read what is new."""
        self._overview.catch_up()
        self.seats = self.store.seats(self.opening.name)

    @property
    def opening(self) -> RunOpened:
        return self._overview.opening

    @property
    def population(self) -> Population:
        return self._overview.population

    @property
    def last(self) -> int:
        """The number of the last event read."""
        return self._overview.last

    @property
    def state(self) -> State:
        """Whether the run is done, stopped, in training, or without workers."""
        return state_of(self.population, self.seats)

    @property
    def over(self) -> bool:
        """Whether the run is done or stopped, so that nothing more will happen."""
        return self.state in {"done", "stopped"}

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run as a whole."""
        population, opening = self.population, self.opening
        chosen = population.chosen
        trained = sum(member.trained for member in population)
        return {
            "run": opening.name,
            "state": self.state,
            "members": len(population),
            "steps": population.steps,
            "done": trained / (population.steps * len(population)),
            "turns": population.turns,
            "round": population.round if opening.synchronous else None,
            "copies": population.copies,
            "failures": population.failures,
            "failure": self._describe_failure(),
            "mode": opening.mode,
            "best": chosen.score if chosen else None,
            "confirmed": population.confirmed and list(population.confirmed.fresh),
            "workers": len({seat.worker for seat in self.seats if seat.worker}),
            "seed": opening.seed,
        }

    def _describe_failure(self) -> dict[str, Any] | None:
        """Return the last failed attempt, unless it is long ago or there is none."""
        failures = self.population.failures
        if failures != self._looked_at:
            self._looked_at = failures
            run, last = self.opening.name, self._overview.last
            self._failure = find_last_failure(self.store, run, before=last + 1, most=LOOK_BACK)
        failed = self._failure
        if failed is None or not isinstance(failed.event, AttemptFailed):
            return None
        event = failed.event
        turn = {"at": failed.at, "member": event.member, "turn": event.turn}
        return {**turn, "error": event.error, "where": event.where}

    def rows(self) -> list[dict[str, Any]]:
        """Return the figures of each member."""
        members = self.population.members
        return [
            {
                "member": seat.standing.member,
                "group": members[seat.standing.member].group,
                "turn": seat.standing.turn,
                "trained": seat.standing.trained,
                "step": seat.standing.step,
                "score": report_score(seat.standing.score, self.opening.mode),
                "copies": members[seat.standing.member].copies,
                "worker": seat.worker,
                "silent_s": seat.silent_s,
                "hparams": members[seat.standing.member].hparams,
            }
            for seat in self.seats
        ]

    def best_rows(self, room: int) -> list[dict[str, Any]]:
        """Return all members in their order, or the best if there is no room for all."""
        rows = self.rows()
        if len(rows) <= room:
            return rows
        sign = sign_of(self.opening.mode)
        return sorted(rows, key=lambda row: (row["score"] is None, -sign * (row["score"] or 0.0)))[
            :room
        ]

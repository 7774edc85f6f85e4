"""`ramet status` and `ramet runs`: what is in a store, and how a run is doing."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ramet.cli.stores import AsJson, RunName, StorePath, chosen, existing
from ramet.events import Copied
from ramet.history.follower import Follower
from ramet.store import Seat, Store

# How often a watched table is brought up to date.
WATCH_S = 0.5
# Members that a table has room for.
ROWS = 40


class View:
    """A run as `ramet status` shows it, kept up as its log grows."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.follower = Follower(store, name)
        self.copies: Counter[int] = Counter()
        self._count(store.events(name)[: self.follower.last + 1])
        self.seats: list[Seat] = store.seats(name)

    def catch_up(self) -> None:
        """Read on."""
        self._count(self.follower.catch_up())
        self.seats = self._store.seats(self.follower.opening.name)

    @property
    def state(self) -> str:
        """Whether the run is done, stopped, being trained, or left alone."""
        population = self.follower.population
        if population.done:
            return "done"
        if any(seat.worker for seat in self.seats):
            return "stopping" if population.stopped else "running"
        return "stopped" if population.stopped else "idle"

    @property
    def sign(self) -> int:
        """What turns scores into those that were reported."""
        return 1 if self.follower.opening.mode == "max" else -1

    def figures(self) -> dict[str, Any]:
        """Return what is said of the run as a whole."""
        population, opening = self.follower.population, self.follower.opening
        best = population.best
        return {
            "run": opening.name,
            "state": self.state,
            "members": len(population),
            "steps": population.steps,
            "turns": population.turns,
            "round": population.round if opening.synchronous else None,
            "copies": population.copies,
            "failures": population.failures,
            "best": self.sign * best.score if best else None,
            "workers": len({seat.worker for seat in self.seats if seat.worker}),
            "seed": opening.seed,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return what is said of each member."""
        return [
            {
                "member": seat.standing.member,
                "turn": seat.standing.turn,
                "trained": seat.standing.trained,
                "step": seat.standing.step,
                "score": _signed(seat.standing.score, self.sign),
                "copies": self.copies[seat.standing.member],
                "worker": seat.worker,
                "silent_s": seat.silent_s,
            }
            for seat in self.seats
        ]

    def _count(self, news: list[Any]) -> None:
        self.copies.update(
            logged.event.member for logged in news if isinstance(logged.event, Copied)
        )


def status(
    store: StorePath,
    name: RunName = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing it until it is over.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a run is doing: members, steps, scores, who is at work, copies."""
    where = existing(store)
    view = View(where.store, chosen(where, name))
    if as_json:
        for figures in _followed(view, watch=watch):
            typer.echo(msgspec.json.encode({**figures, "population": view.rows()}))
        return
    console = Console(highlight=False)
    if not watch:
        console.print(shown(view))
        return
    with Live(shown(view), console=console, auto_refresh=False) as live:
        for _ in _followed(view, watch=True):
            live.update(shown(view), refresh=True)


def runs(store: StorePath, *, as_json: AsJson = False) -> None:
    """List the runs of a store."""
    where = existing(store)
    views = [View(where.store, name) for name in where.store.runs()]
    if as_json:
        for view in views:
            typer.echo(msgspec.json.encode(view.figures()))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("run", "state", "members", "steps", "done", "turns", "copies", "best"):
        table.add_column(heading, justify="left" if heading in {"run", "state"} else "right")
    for view in views:
        figures = view.figures()
        table.add_row(
            figures["run"],
            figures["state"],
            f"{figures['members']:,}",
            f"{figures['steps']:,}",
            f"{_done(view):.0%}",
            f"{figures['turns']:,}",
            f"{figures['copies']:,}",
            _number(figures["best"]),
        )
    Console(highlight=False).print(table)


def shown(view: View) -> Group:
    """Return a run as a table, with what is said of it as a whole above."""
    figures = view.figures()
    said = [
        figures["state"],
        f"{figures['members']:,} members",
        f"{_done(view):.0%} of {figures['steps']:,} steps each",
        *([f"round {figures['round']:,}"] if figures["round"] is not None else []),
        f"best {_number(figures['best'])}",
        f"{figures['copies']:,} copies",
        *([f"{figures['failures']:,} failed attempts"] if figures["failures"] else []),
        f"{figures['workers']} workers",
    ]
    heading = Text.assemble((figures["run"], "bold"), "  ", "  ".join(said))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("member", "turn", "trained", "step", "score", "copies"):
        table.add_column(column, justify="right")
    table.add_column("worker")
    table.add_column("heard of", justify="right")
    rows = view.rows()
    for row in _most_telling(rows):
        table.add_row(
            str(row["member"]),
            f"{row['turn']:,}",
            f"{row['trained']:,}",
            f"{row['step']:,}",
            _number(row["score"]),
            f"{row['copies']:,}",
            row["worker"] or "",
            "" if row["silent_s"] is None else f"{row['silent_s']:.0f} s ago",
        )
    left_out = len(rows) - ROWS
    more = [Text(f"and {left_out:,} members that score less")] if left_out > 0 else []
    return Group(heading, table, *more)


def _most_telling(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that there is room for: all in their order, or the best first."""
    if len(rows) <= ROWS:
        return rows
    scored = sorted(rows, key=lambda row: (row["score"] is None, -(row["score"] or 0.0)))
    return scored[:ROWS]


def _followed(view: View, *, watch: bool) -> Iterator[dict[str, Any]]:
    while True:
        yield view.figures()
        if not watch or view.state in {"done", "stopped"}:
            return
        time.sleep(WATCH_S)
        view.catch_up()


def _done(view: View) -> float:
    population = view.follower.population
    return sum(member.trained for member in population) / (population.steps * len(population))


def _signed(score: float | None, sign: int) -> float | None:
    return None if score is None else sign * score


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"

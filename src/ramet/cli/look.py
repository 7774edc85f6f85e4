"""`ramet status` and `ramet runs`: how a run is doing, and what is in a store."""

import bisect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ramet import wording
from ramet.cli import screen
from ramet.cli.pace import Pace
from ramet.cli.stores import AsJson, RunName, StoreName
from ramet.cli.view import View
from ramet.history.confirming import FreshScores, say_both
from ramet.history.narrating import describe_failure
from ramet.places import existing
from ramet.store.postgres.address import leave_out_secrets
from ramet.visible import label, visible

# What stands before the names of hyperparameters that there is no room for.
MORE_NAMES = "and {count} (a wider terminal or --json shows them): "
# Time between two updates of a watched table.
WATCH_S = 0.5
# Members in a table that is not watched on a terminal.
ROWS = 40
# Lines that names of hyperparameters may have beside those that members leave free.
NAME_LINES = 2
# Lines of a terminal around a watched table: the heading, those below, and the cursor's.
LINES_AROUND = 10
# Characters of a worker's name where there is no room for more.
SHORT_WORKER = 12


def status(
    store: StoreName,
    name: RunName = None,
    *,
    watch: Annotated[
        bool,
        typer.Option("--watch", metavar="", help="Keep showing it until the run is over."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a run is doing: its members, their scores, and the workers that train them.

    "trained" is the number of steps of its budget that a member has used, "step" the number of
    steps behind its current weights, which may be copied. "group" is its sub-population, if there
    are several; FIRE's evaluators are group 0. "heard of" is the time since its worker last renewed
    the lease.
    """
    where = existing(store)
    run = where.choose(name)
    tracebacks = wording.command("log", [leave_out_secrets(store), run], ["--failures"])
    view = View(where.store, run)
    try:
        _show(view, tracebacks, watch=watch, as_json=as_json)
    except KeyboardInterrupt as enough:
        raise type(enough)("") from None  # Nothing was interrupted, so there is no message.


def runs(store: StoreName, *, as_json: AsJson = False) -> None:
    """List the runs of a store."""
    where = existing(store)
    listed = [View(where.store, name).figures() for name in where.store.runs()]
    if as_json:
        for figures in listed:
            screen.say_json(figures)
        return
    if not listed:
        screen.say(f"{where.name} has no runs yet")
        return
    columns = ("run", "state", "members", "steps", "done", "turns", "copies", "best")
    table = screen.table(*columns, left=("run", "state"))
    for figures in listed:
        table.add_row(*(_CELLS[column](figures) for column in columns))
    screen.show(table)


def make_screen(
    view: View, room: int, width: int, *, tracebacks: str, pace: str | None = None
) -> Group:
    """Return a heading for the run, and a table of as much as fits, with what is left out.

    Args:
        view: The run.
        room: How many members there is room for.
        width: How many columns there are.
        tracebacks: The command that shows the tracebacks of failures.
        pace: A line about how fast the run goes.
    """
    rows = view.best_rows(room)
    names: list[str] = view.opening.space["names"]
    table, shown = _members(rows, names, width)
    heading = [*_heading(view.figures(), tracebacks), *([] if pace is None else [pace])]
    lines = NAME_LINES + room - len(rows)
    more = len(view.seats) - len(rows)
    ranked = any(row["score"] is not None for row in rows)
    left_out = _name_left_out(more, names[shown:], width, lines, ranked=ranked)
    return Group(*heading, "", table, *left_out)


def _name_left_out(
    members: int, names: Sequence[str], width: int, lines: int, *, ranked: bool
) -> list[RenderableType]:
    """Return lines about members and hyperparameters that there was no room for.

    Args:
        members: How many members.
        names: The names of the hyperparameters.
        width: How many columns there are.
        lines: How many lines the names have.
        ranked: Whether the members that are shown are the best.
    """
    parts: list[RenderableType] = []
    if members:
        order = "; the best are shown" if ranked else ""
        parts.append(f"and {wording.count(members, 'more member')}{order}")
    if names:
        more = MORE_NAMES.format(count=wording.count(len(names), "more hyperparameter"))
        parts.append(_list_names(more, [label(name) for name in names], width, lines))
    return parts


def _list_names(more: str, names: Sequence[str], width: int, lines: int) -> Text:
    """Return names behind a text, as many as fit into some lines."""
    console = Console(width=width)

    def make(count: int) -> Text:
        listed = ", ".join(names[:count])
        return Text(f"{more}{listed}" if count == len(names) else f"{more}{listed}, …")

    def count_lines(count: int) -> int:
        return len(make(count).wrap(console, width))

    return make(max(0, bisect.bisect(range(len(names) + 1), lines, key=count_lines) - 1))


def _show(view: View, tracebacks: str, *, watch: bool, as_json: bool) -> None:
    if as_json:
        for _ in _follow(view, watch=watch):
            screen.say_json({**view.figures(), "population": view.rows()})
        return
    console = screen.console()
    if not (watch and console.is_terminal):
        for _ in _follow(view, watch=watch):
            pass
        screen.show(make_screen(view, ROWS, console.width, tracebacks=tracebacks))
        return
    pace = Pace(view.store, view.opening, view.last)
    with Live(console=console, auto_refresh=False) as live:
        for _ in _follow(view, watch=True):
            pace.catch_up()
            live.update(_fitting(view, console, pace, tracebacks), refresh=True)


def _fitting(view: View, console: Console, pace: Pace, tracebacks: str) -> Group:
    at_work = any(seat.worker for seat in view.seats)
    said = pace.describe(view.population, at_work=at_work)
    room = max(1, min(ROWS, console.height - LINES_AROUND))
    return make_screen(view, room, console.width, tracebacks=tracebacks, pace=said)


def _heading(figures: dict[str, Any], tracebacks: str) -> list[RenderableType]:
    state = f"{figures['state']}, {figures['done']:.0%} of {figures['steps']:,} steps each"
    best = f"best {_say_best(figures)}"
    facts = [
        wording.count(figures["members"], "member"),
        wording.count(figures["workers"], "worker"),
        *([f"round {figures['round']:,}"] if figures["round"] is not None else []),
        wording.count(figures["turns"], "turn"),
        wording.count(figures["copies"], "copy"),
        *([wording.count(figures["failures"], "failed attempt")] if figures["failures"] else []),
    ]
    failed = [_say_failure(it, tracebacks)] if (it := figures["failure"]) else []
    heading = Text.assemble((label(figures["run"]), "bold"), f": {state}, {best}")
    return [heading, ", ".join(facts), *failed]


def _say_failure(failure: dict[str, Any], tracebacks: str) -> Text:
    """Say what failed last, and how to see more of it."""
    said = describe_failure(failure["error"], failure["where"])
    at = f"member {failure['member']}, turn {failure['turn']}"
    more = f"`{visible(tracebacks)}` shows the traceback"
    return Text(f"last failure: {at}: {said}; {more}")


def _say_best(figures: dict[str, Any]) -> str:
    """Say the best score, and what it was on fresh evaluations if the run was confirmed."""
    fresh = figures["confirmed"]
    if fresh is None:
        return wording.number(figures["best"])
    return say_both(figures["best"], FreshScores(tuple(fresh)))


def _members(rows: list[dict[str, Any]], names: Sequence[str], width: int) -> tuple[Table, int]:
    """Return a table of members, and how many hyperparameters there was room for in it."""
    wide = _lay_out(rows, names, width)
    # Long names of workers are the first to give way.
    short = [
        {**row, "worker": screen.keep_end(row["worker"] or "", SHORT_WORKER), "silent_s": None}
        for row in rows
    ]
    columns, shown = wide if wide[1] == len(names) else _lay_out(short, names, width)
    headings, *lines = zip(*columns, strict=True)
    table = screen.table(*headings, left=("worker",))
    for line in lines:
        table.add_row(*line)
    return table, shown


def _lay_out(
    rows: list[dict[str, Any]], names: Sequence[str], width: int
) -> tuple[list[list[str]], int]:
    """Return the columns of a table that fit, and how many hyperparameters are among them."""
    grouped = len({row["group"] for row in rows}) > 1
    facts = ["member", *(["group"] if grouped else []), "trained", "step", "score", "copies"]
    begin = _columns(rows, *facts)
    at_work = any(row["worker"] for row in rows)
    heard = any(row["silent_s"] is not None for row in rows)
    end = _columns(rows, "worker", *(["heard of"] if heard else [])) if at_work else []
    middle: list[list[str]] = []
    for name in names:
        column = [label(name), *(wording.value_of(row["hparams"], name) for row in rows)]
        if _width([*begin, *middle, column, *end]) > width:
            break
        middle.append(column)
    return [*begin, *middle, *end], len(middle)


def _columns(rows: list[dict[str, Any]], *names: str) -> list[list[str]]:
    return [[name, *(_CELLS[name](row) for row in rows)] for name in names]


def _format_silence(silent_s: float | None) -> str:
    return "" if silent_s is None else f"{silent_s:.0f} s ago"


# The text of a cell under each heading.
_CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "run": lambda row: str(row["run"]),
    "state": lambda row: str(row["state"]),
    "members": lambda row: f"{row['members']:,}",
    "steps": lambda row: f"{row['steps']:,}",
    "done": lambda row: f"{row['done']:.0%}",
    "turns": lambda row: f"{row['turns']:,}",
    "copies": lambda row: f"{row['copies']:,}",
    "best": lambda row: wording.number(row["best"]),
    "member": lambda row: str(row["member"]),
    "group": lambda row: str(row["group"]),
    "trained": lambda row: f"{row['trained']:,}",
    "step": lambda row: f"{row['step']:,}",
    "score": lambda row: wording.number(row["score"]),
    "worker": lambda row: screen.worker_name(row["worker"]),
    "heard of": lambda row: _format_silence(row["silent_s"]),
}


def _width(columns: list[list[str]]) -> int:
    """Return the width of a table of these columns, in cells."""
    return sum(max(map(cell_len, column)) + screen.GAP for column in columns)


def _follow(view: View, *, watch: bool) -> Iterator[None]:
    """Yield after each update of the view: once, or until the run is over."""
    yield
    while watch and not view.over:
        time.sleep(WATCH_S)
        view.catch_up()
        yield

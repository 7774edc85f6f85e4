"""A run as tables of its turns, copies, members, scores and metrics."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, get_args

from ramet.errors import UsageError
from ramet.events import Confirmed, Logged, RunOpened, TurnEnded, fold
from ramet.goals import metrics_of
from ramet.history.lineage import Lineage
from ramet.history.metrics import curves_of
from ramet.series import find_last

Table: TypeAlias = Literal["turns", "copies", "members", "scores", "metrics", "confirmations"]
# The tables without columns of hyperparameters.
BARE = {"scores", "metrics", "confirmations"}

# The values of a row by column.
Row: TypeAlias = dict[str, Any]


def rows(table: Table, log: Sequence[Logged], lineage: Lineage) -> list[Row]:
    """Return a table of a run.

    ``turns`` has a row for each turn that ended, ``copies`` for each copy, ``members`` for each
    member at the end, ``scores`` for each score, ``metrics`` for each point of a metric, and
    ``confirmations`` for each fresh score of weights that were evaluated again. Hyperparameters are
    in columns such as ``hparams.lr``, which are None where one is not there. Metrics that the run
    has goals for are in columns of ``turns`` such as ``metrics.latency``.
    """
    return list(each_row(table, log, lineage))


def each_row(table: Table, log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    """Yield the rows of a table one by one, which takes less memory than a list."""
    of = _TABLES.get(table)
    if of is None:
        raise UsageError(f"a table must be one of {list(get_args(Table))}, but got {table!r}")
    return of(log, lineage)


def columns(table: Table, opening: RunOpened) -> list[str]:
    """Return the columns of a table."""
    names = [f"hparams.{name}" for name in opening.space["names"]]
    objectives = metrics_of(opening.goals) if table == "turns" else ()
    return [
        *_COLUMNS[table],
        *(f"metrics.{name}" for name in objectives),
        *([] if table in BARE else names),
    ]


_COLUMNS: dict[str, tuple[str, ...]] = {
    "turns": (
        *("member", "group", "turn", "start", "stop", "trained", "score", "edge"),
        *("from_member", "from_turn", "worker", "ended_at", "took_s"),
    ),
    "copies": ("member", "source", "kind", "turn", "trained", "weights_step", "weights_from_turn"),
    "members": (
        *("member", "group", "ranked", "turns", "trained", "step", "score"),
        *("founder", "failing"),
    ),
    "scores": ("member", "turn", "step", "score"),
    "metrics": ("member", "turn", "step", "name", "value"),
    "confirmations": ("member", "turn", "step", "score", "repeat", "fresh", "worker", "ended_at"),
}


def _turns(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    births, names = lineage.opening.births, lineage.opening.space["names"]
    objectives = metrics_of(lineage.opening.goals)
    for logged in log:
        event = logged.event
        if not isinstance(event, TurnEnded):
            continue
        turn = lineage.turns[event.member, event.turn]
        yield {
            "member": turn.member,
            "group": births[turn.member].group,
            "turn": turn.number,
            "start": turn.start,
            "stop": turn.stop,
            "trained": event.trained,
            "score": turn.score,
            "edge": turn.edge,
            "from_member": turn.origin.member if turn.origin else None,
            "from_turn": turn.origin.turn if turn.origin else None,
            "worker": logged.worker,
            "ended_at": logged.at,
            "took_s": logged.took_s,
            **_objectives(event, objectives),
            **_name_columns(names, turn.hparams),
        }


def _copies(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    del log
    names = lineage.opening.space["names"]
    for copy in lineage.copies:
        yield {
            "member": copy.member,
            "source": copy.source,
            "kind": copy.kind,
            "turn": copy.turn,
            "trained": copy.trained,
            "weights_step": copy.weights.step if copy.weights else None,
            "weights_from_turn": copy.weights.turn if copy.weights else None,
            **_name_columns(names, copy.hparams or {}),
        }


def _members(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    population = fold(logged.event for logged in log)
    names = lineage.opening.space["names"]
    for member in population:
        path = lineage.behind(member.checkpoint)
        yield {
            "member": member.id,
            "group": member.group,
            "ranked": member.ranked,
            "turns": member.turn,
            "trained": member.trained,
            "step": member.step,
            "score": member.weights_score,
            "founder": path[0].member if path else None,
            "failing": member.failing,
            **_name_columns(names, member.hparams),
        }


def _scores(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    del log
    for turn in lineage.turns.values():
        for step, score in turn.points:
            yield {
                "member": turn.member,
                "turn": turn.number,
                "step": step,
                "score": score,
            }


def _metrics(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    del lineage
    for logged in log:
        event = logged.event
        if isinstance(event, TurnEnded):
            for name, steps, values in curves_of(event):
                for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                    yield {
                        "member": event.member,
                        "turn": event.turn,
                        "step": step,
                        "name": name,
                        "value": value,
                    }


def _confirmations(log: Sequence[Logged], lineage: Lineage) -> Iterator[Row]:
    for logged in log:
        event = logged.event
        if isinstance(event, Confirmed):
            turn = lineage.turns[event.member, event.turn]
            yield {
                "member": event.member,
                "turn": event.turn,
                "step": turn.stop,
                "score": turn.score,
                "repeat": event.repeat,
                "fresh": event.score,
                "worker": logged.worker,
                "ended_at": logged.at,
            }


_TABLES: dict[str, Callable[[Sequence[Logged], Lineage], Iterator[Row]]] = {
    "turns": _turns,
    "copies": _copies,
    "members": _members,
    "scores": _scores,
    "metrics": _metrics,
    "confirmations": _confirmations,
}


def _objectives(turn: TurnEnded, names: Sequence[str]) -> Row:
    """Return the metrics that the run has goals for, as the turn ended with them."""
    last = find_last(turn.metrics, turn.step) if names else {}
    return {f"metrics.{name}": last.get(name) for name in names}


def _name_columns(names: Sequence[str], hparams: dict[str, Any]) -> Row:
    """Return the columns of hyperparameters; one that is not there is None."""
    return {f"hparams.{name}": hparams.get(name) for name in names}

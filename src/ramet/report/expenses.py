"""What the run cost: time, by worker, and disk."""

from typing import NamedTuple

import numpy as np

from ramet import wording
from ramet.history.account import Attempts
from ramet.plots.shifts import Stints, by_worker, idle_s
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, facts, join, note, table, tag
from ramet.report.subject import Subject, moment

# Rows of the table of workers.
ROWS = 40


def section(subject: Subject, figures: Figures) -> Markup:
    """Return the time and disk that the run took, and each worker's share of the time."""
    pairs: list[tuple[str, Content]] = [
        ("From first event to last", _describe_length(subject)),
        (
            "Members trained",
            f"{wording.duration(subject.result.account.attempts.trained_s)} in total",
        ),
        ("History of the best weights", _behind(subject)),
        ("Workers were idle", _idle(subject.stints)),
        ("Checkpoints", _describe_checkpoints(subject)),
    ]
    return join([facts(pairs), *_workers(subject, figures)])


def _describe_length(subject: Subject) -> str:
    paused = f", {wording.duration(subject.paused_s)} of it with no worker training"
    return (
        f"{wording.duration(subject.last - subject.began)}{paused if subject.paused_s else ''}, "
        f"to {moment(subject.last)}"
    )


def _behind(subject: Subject) -> str | None:
    """Return how long the turns that led to the best weights took."""
    keys = {turn.key for turn in subject.behind}
    its = list(subject.result.account.attempts.find_durations(keys))
    return f"{wording.duration(sum(its))}, {wording.count(len(its), 'turn')}" if its else None


def _describe_checkpoints(subject: Subject) -> str:
    sizes = subject.sizes
    where = "on disk" if subject.file else "in memory"
    return (
        f"{wording.size(sum(sizes.values()))} {where}, {wording.count(len(sizes), 'file')} "
        f"(keep={subject.opening.keep!r})"
    )


def _idle(stints: Stints) -> str | None:
    times = [idle_s(its) for its in by_worker(stints).values()]
    there = sum(there for _, there in times)
    return f"{sum(idle for idle, _ in times) / there:.0%} of their time" if there else None


def _workers(subject: Subject, figures: Figures) -> list[Markup]:
    shifts = by_worker(subject.stints)
    if not shifts:
        return [tag("p", "No worker has ended a turn yet.", class_="missing")]
    columns = [Column("worker", left=True), Column("turns"), Column("failed attempts")]
    more = [Column("members trained"), Column("present"), Column("idle")]
    shown = dict(list(shifts.items())[:ROWS])
    spent = _add_up(subject.result.account.attempts)
    rows = [_row(worker, its, spent[worker]) for worker, its in shown.items()]
    rest = len(shifts) - ROWS
    left_out = [note(f"And {wording.count(rest, 'worker')} that joined later.")] if rest > 0 else []
    return [figures.workers(), table([*columns, *more], rows, "Workers"), *left_out]


class Spent(NamedTuple):
    """A worker's attempts: how many ended and failed, and how long they took."""

    ended: int
    failed: int
    trained_s: float


def _add_up(attempts: Attempts) -> dict[str, Spent]:
    """Return each worker's attempts, added up."""
    columns = attempts.columns()
    ended = np.bincount(columns.worker, ~columns.failed)
    failed = np.bincount(columns.worker, columns.failed)
    trained_s = np.bincount(columns.worker, np.nan_to_num(columns.took_s))
    sums = (its.tolist() for its in (ended, failed, trained_s))
    return {
        worker: Spent(int(ended), int(failed), trained_s)
        for worker, ended, failed, trained_s in zip(columns.workers, *sums, strict=True)
    }


def _row(worker: str, its: Stints, spent: Spent) -> list[Content]:
    idle, there = idle_s(its)
    return [
        worker,
        f"{spent.ended:,}",
        f"{spent.failed:,}",
        wording.duration(spent.trained_s),
        wording.duration(there),
        f"{idle / there if there else 0:.0%}",
    ]

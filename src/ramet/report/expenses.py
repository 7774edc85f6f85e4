"""What the run cost: time, by worker, and disk."""

from collections.abc import Collection, Iterable, Sequence

from ramet import wording
from ramet.history.account import Attempt
from ramet.plots.shifts import Stint, by_worker, idle_s
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, facts, joined, note, table, tag
from ramet.report.subject import Subject, moment

# Workers that a table has room for.
ROWS = 40


def section(subject: Subject, figures: Figures) -> Markup:
    """Return what was spent, and by whom."""
    pairs: list[tuple[str, Content]] = [
        ("From first event to last", _lasted(subject)),
        (
            "Members trained",
            f"{wording.duration(subject.result.account.attempts.trained_s)}, all together",
        ),
        ("Behind the best", _behind(subject)),
        ("Workers were idle", _idle(subject.stints)),
        ("Checkpoints", _kept(subject)),
    ]
    return joined([facts(pairs), *_workers(subject, figures)])


def _lasted(subject: Subject) -> str:
    paused = f", {wording.duration(subject.paused_s)} of it without any worker"
    return (
        f"{wording.duration(subject.last - subject.began)}{paused if subject.paused_s else ''}, "
        f"to {moment(subject.last)}"
    )


def _behind(subject: Subject) -> str | None:
    """Return how long the turns took that made the best weights."""
    keys = {turn.key for turn in subject.behind}
    its = list(subject.result.account.attempts.find_durations(keys))
    return f"{wording.duration(sum(its))}, {wording.count(len(its), 'turn')}" if its else None


def _kept(subject: Subject) -> str:
    sizes = subject.sizes
    where = "on disk" if subject.file else "in memory"
    return (
        f"{wording.size(sum(sizes.values()))} {where}, {wording.count(len(sizes), 'checkpoint')} "
        f"(keep={subject.opening.keep!r})"
    )


def _idle(stints: Sequence[Stint]) -> str | None:
    times = [idle_s(its) for its in by_worker(stints).values()]
    there = sum(there for _, there in times)
    return f"{sum(idle for idle, _ in times) / there:.0%} of their time" if there else None


def _workers(subject: Subject, figures: Figures) -> list[Markup]:
    shifts = by_worker(subject.stints)
    if not shifts:
        return [tag("p", "No worker has ended a turn yet.", class_="missing")]
    columns = [Column("worker", left=True), Column("turns"), Column("failed attempts")]
    more = [Column("members trained"), Column("there"), Column("idle")]
    shown = dict(list(shifts.items())[:ROWS])
    spent = _spent(subject.result.account.attempts, shown)
    rows = [_row(worker, its, spent[worker]) for worker, its in shown.items()]
    rest = len(shifts) - ROWS
    left_out = [note(f"And {wording.count(rest, 'worker')} that came later.")] if rest > 0 else []
    return [figures.workers(), table([*columns, *more], rows, "Workers"), *left_out]


class Spent:
    """What a worker's attempts came to."""

    def __init__(self) -> None:
        self.ended = self.failed = 0
        self.trained_s = 0.0


def _spent(attempts: Iterable[Attempt], workers: Collection[str]) -> dict[str, Spent]:
    """Return what the attempts of some workers came to."""
    found = {worker: Spent() for worker in workers}
    for attempt in attempts:
        if (spent := found.get(attempt.worker)) is not None:
            spent.ended += not attempt.failed
            spent.failed += attempt.failed
            spent.trained_s += attempt.took_s or 0.0
    return found


def _row(worker: str, its: Sequence[Stint], spent: Spent) -> list[Content]:
    idle, there = idle_s(its)
    return [
        worker,
        f"{spent.ended:,}",
        f"{spent.failed:,}",
        wording.duration(spent.trained_s),
        wording.duration(there),
        f"{idle / there if there else 0:.0%}",
    ]

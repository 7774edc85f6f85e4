"""What the run cost: time, by worker, and disk."""

from collections import defaultdict
from collections.abc import Sequence

from ramet import wording
from ramet.events import AttemptFailed, Logged, TurnEnded
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
        ("Members trained", f"{wording.duration(_trained(subject.result.log))}, all together"),
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


def _trained(log: Sequence[Logged]) -> float:
    """Return how long all attempts took, summed over members."""
    attempts = (it for it in log if isinstance(it.event, TurnEnded | AttemptFailed))
    return sum(attempt.took_s or 0.0 for attempt in attempts)


def _behind(subject: Subject) -> str | None:
    """Return how long the turns took that made the best weights."""
    keys = {turn.key for turn in subject.behind}
    its = [
        logged
        for logged in subject.result.log
        if isinstance(logged.event, TurnEnded) and (logged.event.member, logged.event.turn) in keys
    ]
    return f"{wording.duration(_trained(its))}, {wording.count(len(its), 'turn')}" if its else None


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
    attempts = _attempts(subject.result.log)
    rows = [_row(worker, its, attempts[worker]) for worker, its in list(shifts.items())[:ROWS]]
    rest = len(shifts) - ROWS
    left_out = [note(f"And {wording.count(rest, 'worker')} that came later.")] if rest > 0 else []
    return [figures.workers(), table([*columns, *more], rows, "Workers"), *left_out]


def _attempts(log: Sequence[Logged]) -> dict[str, list[Logged]]:
    """Return the turns that ended and the attempts that failed, by their worker."""
    found: defaultdict[str, list[Logged]] = defaultdict(list)
    for logged in log:
        if isinstance(logged.event, TurnEnded | AttemptFailed):
            found[logged.worker].append(logged)
    return found


def _row(worker: str, its: Sequence[Stint], attempts: Sequence[Logged]) -> list[Content]:
    idle, there = idle_s(its)
    failed = sum(isinstance(logged.event, AttemptFailed) for logged in attempts)
    return [
        worker,
        f"{len(attempts) - failed:,}",
        f"{failed:,}",
        wording.duration(_trained(attempts)),
        wording.duration(there),
        f"{idle / there if there else 0:.0%}",
    ]

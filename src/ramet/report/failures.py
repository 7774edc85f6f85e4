"""What went wrong, in the order of the log."""

from collections.abc import Iterator

from ramet import wording
from ramet.events import AttemptFailed, CheckpointLost, LeftUnread, Logged, TurnLost
from ramet.history.narrating import say_why_lost, shorten
from ramet.report.html import Column, Content, Markup, join, note, table, tag
from ramet.report.subject import Subject

# Rows of the table.
ROWS = 200


def last(subject: Subject) -> Markup | None:
    """Return what failed last, with its traceback; None if nothing failed."""
    wrong = reversed(subject.result.account.wrong)
    event = next((it.event for it in wrong if isinstance(it.event, AttemptFailed)), None)
    if event is None:
        return None
    who = f"The last failed attempt, of member {event.member} in turn {event.turn}: "
    trace = tag("pre", event.traceback, tabindex="0", aria_label="Traceback of the last failure")
    return join([tag("p", who, shorten(event.error), "."), trace])


def section(subject: Subject) -> Markup:
    """Return what went wrong, or that nothing did."""
    wrong = subject.result.account.wrong
    if not wrong:
        return tag("p", "None.")
    columns = [Column("after"), Column("member"), Column("turn"), Column("what", left=True)]
    rows = list(_rows(subject, wrong[:ROWS]))
    more = note(
        f"And {len(wrong) - ROWS:,} more; all of them are in ",
        tag("code", "result.events"),
        ".",
    )
    return join(
        [
            tag("p", _summary(wrong)),
            table([*columns, Column("worker", left=True)], rows, "Failures"),
            more if len(wrong) > ROWS else None,
        ]
    )


def _summary(wrong: list[Logged]) -> str:
    kinds = {
        "failed attempt": AttemptFailed,
        "lost turn": TurnLost,
        "lost checkpoint": CheckpointLost,
        "unread hyperparameter": LeftUnread,
    }
    counts = {
        name: sum(isinstance(logged.event, kind) for logged in wrong)
        for name, kind in kinds.items()
    }
    return ", ".join(wording.count(count, name) for name, count in counts.items() if count) + "."


def _rows(subject: Subject, wrong: list[Logged]) -> Iterator[list[Content]]:
    shown: set[str] = set()
    for logged in wrong:
        event = logged.event
        after = wording.duration(max(0.0, logged.at - subject.began))
        member = turn = ""
        match event:
            case AttemptFailed():
                member, turn = str(event.member), str(event.turn)
                what = _attempt(event, shown)
            case TurnLost():
                member, turn = str(event.member), str(event.turn)
                what = f"Turn given up: {say_why_lost(event)}."
            case CheckpointLost():
                member = str(event.member)
                what = join(["Checkpoint ", tag("code", event.key), f" lost: {event.error}"])
            case LeftUnread():
                what = join(
                    ["A training loop did not read ", tag("code", event.name), " in a whole turn."]
                )
            case _:
                continue
        yield [after, member, turn, what, logged.worker]


def _attempt(event: AttemptFailed, shown: set[str]) -> Content:
    """Return what an attempt raised, with its traceback unless that was shown above."""
    if event.traceback in shown:
        return join([_describe_attempt(event), " (the same as above)"])
    shown.add(event.traceback)
    trace = tag("pre", event.traceback, tabindex="0", aria_label="Traceback")
    return tag("details", tag("summary", _describe_attempt(event)), trace)


def _describe_attempt(event: AttemptFailed) -> Markup:
    where = join([", at ", tag("code", event.where)]) if event.where else None
    return join(["Attempt failed: ", event.error, where])

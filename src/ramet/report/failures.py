"""What went wrong, in the order of the log."""

from collections.abc import Iterator

from ramet import wording
from ramet.events import AttemptFailed, CheckpointLost, LeftUnread, Logged, TurnLost
from ramet.report.html import Column, Content, Markup, joined, note, table, tag
from ramet.report.subject import Subject

# Rows that there is room for.
ROWS = 200

WHY = {
    "failed": "it failed too often",
    "straggler": "it kept a round waiting for too long",
    "fatal": "the workers that trained it died in it, one after the other",
}


def section(subject: Subject) -> Markup:
    """Return what went wrong, or that nothing did."""
    wrong = subject.result.account.wrong
    if not wrong:
        return tag("p", "None.")
    columns = [Column("after"), Column("member"), Column("turn"), Column("what", left=True)]
    rows = list(_rows(subject, wrong[:ROWS]))
    more = note(
        f"And {len(wrong) - ROWS:,} more, which ",
        tag("code", "result.events"),
        " has with the others.",
    )
    return joined(
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
                what = f"Turn given up: {WHY.get(event.why, event.why)}."
            case CheckpointLost():
                member = str(event.member)
                what = joined(["Checkpoint ", tag("code", event.key), f" lost: {event.error}"])
            case LeftUnread():
                what = joined(["Some loop read no ", tag("code", event.name), " in a whole turn."])
            case _:
                continue
        yield [after, member, turn, what, logged.worker]


def _attempt(event: AttemptFailed, shown: set[str]) -> Content:
    """Return what an attempt raised, with a traceback that was not shown above."""
    if event.traceback in shown:
        return joined([_attempted(event), " (the same as above)"])
    shown.add(event.traceback)
    trace = tag("pre", event.traceback, tabindex="0", aria_label="Traceback")
    return tag("details", tag("summary", _attempted(event)), trace)


def _attempted(event: AttemptFailed) -> Markup:
    where = joined([", at ", tag("code", event.where)]) if event.where else None
    return joined(["Attempt failed: ", event.error, where])

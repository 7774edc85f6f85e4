"""The schedule: seen, as a table, as code, and tried again."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby

from ramet import wording
from ramet.history import Trained
from ramet.report.answer import why_none
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, code, joined, note, table, tag
from ramet.report.subject import Subject
from ramet.schedule import Piece, Schedule

# Members that are named before the rest are counted.
NAMED = 6
# Pieces that a table and code have room for.
ROWS = 200
# Pieces beyond which it is said how to have fewer.
MANY = 12


def section(subject: Subject, figures: Figures) -> Markup:
    """Return what the best weights were trained with, and how to train with it again."""
    schedule = subject.schedule
    if schedule is None:
        return tag("p", why_none(subject), class_="missing")
    return joined(
        [
            note(
                "What the best weights were really trained with, step by step, along every copy "
                "that they went through."
            ),
            figures.lineage(),
            _pieces(subject, schedule),
            *_python(subject, schedule),
            tag("h3", "To try it on fresh networks"),
            code(_replay(subject), label="How to replay it in Python"),
            code(_commands(subject), label="The same from a shell") if subject.file else None,
        ]
    )


def _pieces(subject: Subject, schedule: Schedule) -> Markup:
    columns = [Column("steps"), Column("trained by member"), *map(Column, schedule.names)]
    behind = subject.behind
    rows: list[list[Content]] = [
        [
            f"{piece.start:,} to {piece.stop:,}",
            _members(piece, behind),
            *(wording.value(piece.hparams[name]) for name in schedule.names),
        ]
        for piece in schedule.pieces[:ROWS]
    ]
    rest = note(f"And {wording.count(len(schedule) - ROWS, 'piece')} behind these.")
    fewer = note(
        f"It has {len(schedule):,} pieces; ",
        tag("code", "schedule.smooth(pieces=5)"),
        " is the nearest one of five.",
    )
    shown = table(columns, rows, "The schedule's pieces")
    return joined(
        [shown, rest if len(schedule) > ROWS else None, fewer if len(schedule) > MANY else None]
    )


def _python(subject: Subject, schedule: Schedule) -> Iterator[Markup]:
    """Yield the schedule as code, or how to get that if it is too long for a page."""
    yield tag("h3", "To paste into a script")
    if len(schedule) <= ROWS:
        yield code(schedule.to_python(), label="The schedule as Python code")
        return
    source = f"{subject.opened}.schedule()" if subject.file else "result.schedule()"
    yield note(
        f"Its {len(schedule):,} pieces are too many for a page: ",
        tag("code", f"print({source}.to_python())"),
        " prints them as Python code.",
    )


def _members(piece: Piece, behind: list[Trained]) -> str:
    """Return who trained a piece, in order."""
    first = bisect_left(behind, piece.start, key=_start)
    its = behind[first : bisect_left(behind, piece.stop, lo=first, key=_start)]
    members = [str(member) for member, _ in groupby(turn.member for turn in its)]
    more = [f"… {members[-1]}"] if len(members) > NAMED else []
    return " → ".join([*members[: NAMED if more else None], *more])


def _start(turn: Trained) -> int:
    return turn.start


def _replay(subject: Subject) -> str:
    where = "" if subject.file is None else f", store={subject.file!r}"
    source = f"{subject.opened}.schedule()" if subject.file else "result.schedule()"
    return (
        "import ramet\n\n"
        f"schedule = {source}\n"
        "# train: the function or task that this run trained\n"
        f"print(ramet.replay(train, schedule, seeds=[0, 1, 2, 3, 4]{where}))\n"
    )


def _commands(subject: Subject) -> str:
    return "".join(
        f"{subject.command(*words)}\n"
        for words in (
            ("replay", "train.py", "--seeds", "5"),
            ("replay", "train.py", "--last-values"),
            ("schedule", "-o", "schedule.json"),
        )
    )

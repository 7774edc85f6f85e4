"""The schedule: as a plot, a table and code, and how to replay it."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby

from ramet import wording
from ramet.history import Trained
from ramet.report.answer import why_none
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, code, join, note, table, tag
from ramet.report.subject import SCRIPT, Subject
from ramet.schedule import Piece, Schedule

# Members of a piece that are named before some are left out.
NAMED_MEMBERS = 6
# Rows of the table of pieces; a longer schedule is not shown as code.
ROWS = 200
# A schedule with more pieces than this comes with advice on how to smooth it.
MANY_PIECES = 12


def section(subject: Subject, figures: Figures) -> Markup:
    """Return the values that the best weights were trained with, and how to replay them."""
    schedule = subject.schedule
    if schedule is None:
        return tag("p", why_none(subject), class_="missing")
    return join(
        [
            note(
                "The values that the best weights were trained with, step by step, through every "
                "copy."
            ),
            figures.lineage(),
            _pieces(subject, schedule),
            *_python(subject, schedule),
            tag("h3", "To try it on fresh networks"),
            code(_replay(subject), label="How to replay it in Python"),
            code(_commands(subject), label="The same from a shell") if subject.file else None,
            note("Put the path of your script in place of ", tag("code", SCRIPT), ".")
            if subject.file
            else None,
        ]
    )


def _pieces(subject: Subject, schedule: Schedule) -> Markup:
    columns = [Column("steps"), Column("trained by member"), *map(Column, schedule.names)]
    behind = subject.behind
    rows: list[list[Content]] = [
        [
            f"{piece.start:,} to {piece.stop:,}",
            _members(piece, behind),
            *(wording.value_of(piece.hparams, name) for name in schedule.names),
        ]
        for piece in schedule.pieces[:ROWS]
    ]
    rest = note(f"And {wording.count(len(schedule) - ROWS, 'piece')} after these.")
    fewer = note(
        f"It has {len(schedule):,} pieces; ",
        tag("code", "schedule.smooth(pieces=5)"),
        " approximates it with five.",
    )
    shown = table(columns, rows, "The schedule's pieces")
    return join(
        [
            shown,
            rest if len(schedule) > ROWS else None,
            fewer if len(schedule) > MANY_PIECES else None,
        ]
    )


def _python(subject: Subject, schedule: Schedule) -> Iterator[Markup]:
    """Yield the schedule as code or, if it is too long for a page, how to print it."""
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
    """Return the members that trained a piece, in order."""
    first = bisect_left(behind, piece.start, key=_start)
    its = behind[first : bisect_left(behind, piece.stop, lo=first, key=_start)]
    members = [str(member) for member, _ in groupby(turn.member for turn in its)]
    more = [f"… {members[-1]}"] if len(members) > NAMED_MEMBERS else []
    return " → ".join([*members[: NAMED_MEMBERS if more else None], *more])


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
            ("replay", SCRIPT, "--seeds", "5"),
            ("replay", SCRIPT, "--last-values"),
            ("schedule", "-o", "schedule.json"),
        )
    )

"""Where all weights came from, and how all members scored and were trained."""

from collections.abc import Iterator

from ramet import wording
from ramet.history.ancestry import describe_survivors
from ramet.history.doubts import describe_lag
from ramet.population import Member
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, joined, note, table, tag
from ramet.report.subject import Subject

# Members that a table has room for.
ROWS = 40
# Hyperparameters that are drawn, and metrics.
DRAWN = 12


def tree(subject: Subject, figures: Figures) -> Markup:
    """Return where the members' weights came from."""
    if not subject.lineage.turns:
        return _nothing()
    if len(subject.population) == 1:
        return note("There is one member, whose weights are its own.")
    behind = describe_lag(subject.population)
    lagging = None if behind is None else note(f"Much training was thrown away: {behind}.")
    return joined([lagging, note(describe_survivors(subject.lineage)), figures.tree()])


def scores(subject: Subject, figures: Figures) -> Markup:
    """Return how members scored, over time and as they stand."""
    scored = any(turn.score is not None for turn in subject.lineage.turns.values())
    picture = figures.scores() if scored else tag("p", "There are none yet.", class_="missing")
    return joined([picture, tag("h3", "Members as they stand"), *_members(subject)])


def metrics(subject: Subject, figures: Figures) -> Markup:
    """Return what loops logged beside scores."""
    left_out = [tag("code", name) for name in subject.metrics[DRAWN:]]
    return joined(
        [
            *(figures.metric(name) for name in subject.metrics[:DRAWN]),
            note("Not drawn, for room: ", _listed(left_out), ".") if left_out else None,
        ]
    )


def hyperparameters(subject: Subject, figures: Figures) -> Markup:
    """Return the values that members were trained with, over time and at the end."""
    if not subject.lineage.turns:
        return _nothing()
    moving = [
        name
        for name in subject.names
        if subject.opening.space["domains"][name]["type"] != "Constant"
    ]
    left_out = [tag("code", name) for name in moving[DRAWN:]]
    constant = [tag("code", name) for name in subject.names if name not in moving]
    return joined(
        [
            *(figures.hyperparameter(name) for name in moving[:DRAWN]),
            note("Not drawn, for room: ", _listed(left_out), ".") if left_out else None,
            note("Constant: ", _listed(constant), ".") if constant else None,
            figures.parallel() if moving and len(subject.population) > 1 else None,
        ]
    )


def _nothing() -> Markup:
    return tag("p", "No turn has ended yet.", class_="missing")


def _members(subject: Subject) -> Iterator[Markup]:
    grouped = len({member.group for member in subject.population}) > 1
    ranked = sorted(subject.population, key=lambda member: _rank(member, subject.sign))
    groups = [Column("group")] if grouped else []
    columns = [Column("member"), *groups, Column("step"), Column("score")]
    rows: list[list[Content]] = [
        [
            str(member.id),
            *([f"P{member.group}" if member.group else "evaluator"] if grouped else []),
            f"{member.step:,}",
            wording.number(member.weights_score),
            *(wording.value(member.hparams[name]) for name in subject.names),
        ]
        for member in ranked[:ROWS]
    ]
    yield table([*columns, *map(Column, subject.names)], rows, "Members")
    if len(ranked) > ROWS:
        yield note(f"And {wording.count(len(ranked) - ROWS, 'member')} that did worse.")


def _rank(member: Member, sign: int) -> tuple[bool, float, int]:
    score = member.weights_score
    return score is None, -sign * (score or 0.0), member.id


def _listed(parts: list[Markup]) -> Markup:
    return Markup(", ".join(parts))

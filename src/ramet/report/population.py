"""All members: where their weights came from, their scores, metrics and hyperparameters."""

from collections.abc import Iterator

from ramet import wording
from ramet.history.ancestry import describe_survivors
from ramet.history.doubts import describe_lag
from ramet.plots.story import groups_of
from ramet.population import Member
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, join, note, table, tag
from ramet.report.subject import Subject

# Rows of the table of members.
ROWS = 40
# Plots of hyperparameters, and of metrics.
PLOTS = 12


def tree(subject: Subject, figures: Figures) -> Markup:
    """Return where the members' weights came from."""
    if not subject.lineage.turns:
        return _nothing()
    if len(subject.population) == 1:
        return note("There is only one member: it has no other weights to copy.")
    behind = describe_lag(subject.population)
    lagging = None if behind is None else note(f"Much training was thrown away: {behind}.")
    return join([lagging, note(describe_survivors(subject.lineage)), figures.tree()])


def scores(subject: Subject, figures: Figures) -> Markup:
    """Return the members' scores, over time and as they are now."""
    scored = any(turn.score is not None for turn in subject.lineage.turns.values())
    picture = figures.scores() if scored else tag("p", "There are none yet.", class_="missing")
    return join([picture, tag("h3", "The members now"), *_members(subject)])


def metrics(subject: Subject, figures: Figures) -> Markup:
    """Return the metrics that training loops logged."""
    left_out = [tag("code", name) for name in subject.metrics[PLOTS:]]
    return join(
        [
            *(figures.metric(name) for name in subject.metrics[:PLOTS]),
            note("Not drawn, to save space: ", _list(left_out), ".") if left_out else None,
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
    left_out = [tag("code", name) for name in moving[PLOTS:]]
    constant = [tag("code", name) for name in subject.names if name not in moving]
    return join(
        [
            *(figures.hyperparameter(name) for name in moving[:PLOTS]),
            note("Not drawn, to save space: ", _list(left_out), ".") if left_out else None,
            note("Constant: ", _list(constant), ".") if constant else None,
            figures.parallel() if len(moving) > 1 and len(subject.population) > 1 else None,
        ]
    )


def _nothing() -> Markup:
    return tag("p", "No turn has ended yet.", class_="missing")


def _members(subject: Subject) -> Iterator[Markup]:
    grouped = len({member.group for member in subject.population}) > 1
    ranked = sorted(subject.population, key=lambda member: _rank(member, subject.sign))
    groups, names = [Column("group")] if grouped else [], groups_of(subject.result)
    columns = [Column("member"), *groups, Column("step"), Column("score")]
    rows: list[list[Content]] = [
        [
            str(member.id),
            *([names[member.group]] if grouped else []),
            f"{member.step:,}",
            wording.number(member.weights_score),
            *(wording.value_of(member.hparams, name) for name in subject.names),
        ]
        for member in ranked[:ROWS]
    ]
    yield table([*columns, *map(Column, subject.names)], rows, "Members")
    if len(ranked) > ROWS:
        yield note(f"And {wording.count(len(ranked) - ROWS, 'member')} with worse scores.")


def _rank(member: Member, sign: int) -> tuple[bool, float, int]:
    score = member.weights_score
    return score is None, -sign * (score or 0.0), member.id


def _list(parts: list[Markup]) -> Markup:
    return Markup(", ".join(parts))

"""Which hyperparameters mattered, and which single changes paid off at once."""

import heapq
from collections.abc import Iterable
from itertools import groupby

from ramet import wording
from ramet.history.records import Effect
from ramet.plots.importance import measure_once
from ramet.plots.scales import moving
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, join, note, table, tag
from ramet.report.subject import Subject

# Single changes that each table shows.
ROWS = 5
SINGLE = "Single changes, by what they gained at once"


def importance(subject: Subject, figures: Figures) -> Markup:
    """Return how much each hyperparameter mattered for later scores, and single changes."""
    if not subject.lineage.turns or len(subject.population) == 1 or not moving(subject.result):
        return single(subject)
    if all(one.found == "too few lines" for one in measure_once(subject.result)):
        why = (
            "Too few members went on from the same weights with different values for an estimate "
            "of how much each hyperparameter mattered."
        )
        return join([note(why), tag("h3", SINGLE), single(subject)])
    said = note(
        "Members that went on from the same weights with different values are compared: by their "
        "rank among all members a quarter of the run later, or by their last rank if they took "
        "other weights before. So a value that only spread together with good weights has no "
        "part in it. The parts of several hyperparameters need not add up to 100 %. Grey: chance "
        "alone could give as much, which is no proof that it does not matter."
    )
    return join(
        [
            _answer(subject),
            said,
            figures.importance(),
            tag("h3", SINGLE),
            note("What helps at once may harm later; the picture above looks further ahead."),
            single(subject),
        ]
    )


def _answer(subject: Subject) -> Markup:
    """Return in a sentence which hyperparameters mattered."""
    found = [one.name for one in measure_once(subject.result) if one.found == "yes"]
    if not found:
        return tag("p", "None of those that could be compared mattered more than chance explains.")
    names = [tag("code", name) for name in dict.fromkeys(found)]
    parts: list[Content] = ["More than chance explains, these mattered: "]
    for nth, name in enumerate(names):
        parts += [", " if nth else "", name]
    return tag("p", *parts, ".")


def single(subject: Subject) -> Markup:
    """Return how changing each hyperparameter affected the score of the next turn."""
    if not subject.effects:
        return tag("p", "No turn was trained with changed values.", class_="missing")
    if len(subject.population) == 1:
        why = "There is only one member, so its changes cannot be compared with others' turns."
        return tag("p", why, class_="missing")
    compared = [effect for effect in subject.effects if effect.ahead is not None]
    parts: list[Content] = [_explain(subject), _payoffs(subject)]
    if compared:
        turns = [list(its) for _, its in groupby(compared, key=lambda it: (it.member, it.turn))]
        best = heapq.nlargest(ROWS, [its for its in turns if _ahead(its) > 0], key=_ahead)
        worst = heapq.nsmallest(ROWS, [its for its in turns if _ahead(its) < 0], key=_ahead)
        parts += [tag("h3", "The most helpful changes"), _single(subject, best)]
        parts += [tag("h3", "The most harmful changes"), _single(subject, worst)]
    return join(parts)


def _explain(subject: Subject) -> Markup:
    rise = "rose" if subject.sign > 0 else "fell"
    return note(
        f"Gain is how much the score {rise}, and so improved, in the turn after a change. Ahead is "
        "the gain minus the median gain of the other members in their turns of the same number. A "
        "change paid off if it was ahead. If several values changed at once, each of them is "
        "credited with the whole gain."
    )


def _payoffs(subject: Subject) -> Markup:
    columns = [Column("hyperparameter", left=True), Column("changes"), Column("paid off")]
    rows: list[list[Content]] = [
        [
            tag("code", payoff.name),
            f"{payoff.changes:,}",
            "-" if payoff.paid_off is None else f"{payoff.paid_off:.0%}",
            _format_gain(payoff.ahead),
        ]
        for payoff in subject.payoffs
    ]
    return table([*columns, Column("ahead, at the median")], rows, "Changes by hyperparameter")


def _single(subject: Subject, turns: Iterable[list[Effect]]) -> Markup:
    """Return a table of turns, each with the changes before it."""
    columns = [Column("change", left=True), Column("member"), Column("steps")]
    rows: list[list[Content]] = [
        [
            join(tag("div", _change(effect)) for effect in effects),
            str(effects[0].member),
            _steps(subject, effects[0]),
            _format_gain(effects[0].gain),
            _format_gain(effects[0].ahead),
        ]
        for effects in turns
    ]
    return table([*columns, Column("gain"), Column("ahead")], rows, "Single changes")


def _ahead(effects: list[Effect]) -> float:
    return effects[0].ahead or 0.0


def _change(effect: Effect) -> Markup:
    values = f" {wording.value(effect.before)} → {wording.value(effect.after)}"
    return join([tag("code", effect.name), values])


def _steps(subject: Subject, effect: Effect) -> str:
    turn = subject.lineage.turns[effect.member, effect.turn]
    return f"{turn.start:,} to {turn.stop:,}"


def _format_gain(gain: float | None) -> str:
    return "-" if gain is None else f"{gain:+.3g}"

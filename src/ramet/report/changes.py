"""What changed, and whether it paid off."""

import heapq
from collections.abc import Iterable
from itertools import groupby

from ramet import wording
from ramet.history.records import Effect
from ramet.report.html import Column, Content, Markup, joined, note, table, tag
from ramet.report.subject import Subject

# Single changes that are shown, of those that did most.
MOST = 5


def section(subject: Subject) -> Markup:
    """Return what changes of each hyperparameter did to the score in the turn that followed."""
    if not subject.effects:
        return tag("p", "No turn was trained with values that had been changed.", class_="missing")
    if len(subject.population) == 1:
        told = "With one member there are no others that its changes could be held against."
        return tag("p", told, class_="missing")
    compared = [effect for effect in subject.effects if effect.ahead is not None]
    parts: list[Content] = [_told(subject), _payoffs(subject)]
    if compared:
        turns = [list(its) for _, its in groupby(compared, key=lambda it: (it.member, it.turn))]
        best = heapq.nlargest(MOST, [its for its in turns if _ahead(its) > 0], key=_ahead)
        worst = heapq.nsmallest(MOST, [its for its in turns if _ahead(its) < 0], key=_ahead)
        parts += [tag("h3", "The most helpful changes"), _single(subject, best)]
        parts += [tag("h3", "The most harmful changes"), _single(subject, worst)]
    return joined(parts)


def _told(subject: Subject) -> Markup:
    rise = "rose" if subject.sign > 0 else "fell"
    return note(
        f"A change's gain is by how much the score {rise}, which is for the better, in the turn "
        "that followed it; ahead is by how much more than in the others' turns of the same number, "
        "at the median. A change paid off if it was ahead. Where several values changed at once, "
        "each is told the whole."
    )


def _payoffs(subject: Subject) -> Markup:
    columns = [Column("hyperparameter", left=True), Column("changes"), Column("paid off")]
    rows: list[list[Content]] = [
        [
            tag("code", payoff.name),
            f"{payoff.changes:,}",
            "-" if payoff.paid_off is None else f"{payoff.paid_off:.0%}",
            _signed(payoff.ahead),
        ]
        for payoff in subject.payoffs
    ]
    return table([*columns, Column("ahead, at the median")], rows, "Changes by hyperparameter")


def _single(subject: Subject, turns: Iterable[list[Effect]]) -> Markup:
    """Return what was changed for turns, a row each."""
    columns = [Column("change", left=True), Column("member"), Column("steps")]
    rows: list[list[Content]] = [
        [
            joined(tag("div", _change(effect)) for effect in effects),
            str(effects[0].member),
            _steps(subject, effects[0]),
            _signed(effects[0].gain),
            _signed(effects[0].ahead),
        ]
        for effects in turns
    ]
    return table([*columns, Column("gain"), Column("ahead")], rows, "Single changes")


def _ahead(effects: list[Effect]) -> float:
    return effects[0].ahead or 0.0


def _change(effect: Effect) -> Markup:
    values = f" {wording.value(effect.before)} → {wording.value(effect.after)}"
    return joined([tag("code", effect.name), values])


def _steps(subject: Subject, effect: Effect) -> str:
    turn = subject.lineage.turns[effect.member, effect.turn]
    return f"{turn.start:,} to {turn.stop:,}"


def _signed(gain: float | None) -> str:
    return "-" if gain is None else f"{gain:+.3g}"

"""Summaries of a lineage: which first weights survive, and whether changes paid off."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ramet.history.lineage import Lineage
from ramet.history.records import Effect

# Founders that are named; the others are only counted.
MAX_NAMED_FOUNDERS = 8


def describe_survivors(lineage: Lineage) -> str:
    """Say which first weights survive, in how many members, and the latest turn they all share."""
    founders = lineage.founders().most_common()
    if not founders:
        return "No member has ended a turn."
    named = ", ".join(
        f"member {founder} ({count:,})" for founder, count in founders[:MAX_NAMED_FOUNDERS]
    )
    more = (
        f" and {len(founders) - MAX_NAMED_FOUNDERS:,} more"
        if len(founders) > MAX_NAMED_FOUNDERS
        else ""
    )
    said = f"First weights that survive, and how many members go back to them: {named}{more}."
    common = lineage.common_ancestor()
    if common is None:
        return said
    turn = f"turn {common.number:,} of member {common.member}, at step {common.stop:,}"
    return f"{said} All members go back to {turn}."


class Payoff(NamedTuple):
    """How scores changed in the turns after changes of one hyperparameter."""

    name: str
    changes: int
    # The part of the changes after which the score gained more than in the others' turns. It is
    # None if no turn had a score to compare.
    paid_off: float | None
    # By how much more it gained, at the median; None likewise.
    ahead: float | None


def payoffs(effects: Iterable[Effect], names: Sequence[str]) -> list[Payoff]:
    """Return the payoff of the changes of each hyperparameter that was changed."""
    by_name: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_name[effect.name].append(effect)
    return [_payoff(name, by_name[name]) for name in names if name in by_name]


def _payoff(name: str, effects: Sequence[Effect]) -> Payoff:
    ahead = [effect.ahead for effect in effects if effect.ahead is not None]
    return Payoff(
        name=name,
        changes=len(effects),
        paid_off=sum(gain > 0 for gain in ahead) / len(ahead) if ahead else None,
        ahead=statistics.median(ahead) if ahead else None,
    )

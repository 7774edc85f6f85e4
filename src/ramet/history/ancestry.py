"""What a lineage says to people: which first weights survive, and whether changes paid off."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ramet.history.lineage import Effect, Lineage

# Founders that are named before the rest are counted.
NAMED = 8


def describe_survivors(lineage: Lineage) -> str:
    """Say whose first weights survive, in how many members, and how far back all meet."""
    founders = lineage.founders().most_common()
    if not founders:
        return "No member has ended a turn."
    named = ", ".join(f"member {founder} ({count:,})" for founder, count in founders[:NAMED])
    more = f" and {len(founders) - NAMED:,} more" if len(founders) > NAMED else ""
    said = f"First weights that survive, and how many members go back to them: {named}{more}."
    common = lineage.common_ancestor()
    if common is None:
        return said
    turn = f"turn {common.number:,} of member {common.member}, at step {common.stop:,}"
    return f"{said} All members go back to {turn}."


class Payoff(NamedTuple):
    """What the changes of one hyperparameter did to scores in the turns that followed."""

    name: str
    changes: int
    # The part of them after which the score gained more than in the others' turns, and by how much
    # more at the median; None where no turn had a score to compare.
    paid_off: float | None
    ahead: float | None


def payoffs(effects: Iterable[Effect], names: Sequence[str]) -> list[Payoff]:
    """Return what the changes of each hyperparameter did, of those that were changed."""
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

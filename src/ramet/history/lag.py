"""Whether copies take members back as fast as they train."""

import statistics

from ramet import wording
from ramet.population import Population

# Turns a member, on average, before a run can be said to get nowhere.
TURNS = 10
# The part of what members train that copies may take back.
UNDONE = 0.5


def lag(population: Population) -> str | None:
    """Say how much of what members trained copies took back, if that is most of it.

    ``step`` counts the steps behind a member's weights, and ``trained`` those of its own budget. A
    copy from a donor at an earlier step throws the difference away.
    """
    trained = sum(member.trained for member in population)
    if population.turns < TURNS * len(population) or population.undone <= UNDONE * trained:
        return None
    step = statistics.median_low(member.step for member in population)
    each = statistics.median_low(member.trained for member in population)
    return (
        f"{wording.count(population.copies, 'copy')} in {wording.count(population.turns, 'turn')} "
        f"took back {population.undone / trained:.0%} of all steps trained: members have used "
        f"{each:,} steps each, and their weights stand at step {step:,} (medians)"
    )

"""Whether copies take members back as fast as they train."""

import statistics

from ramet import wording
from ramet.population import Population

# Turns a member, on average, before a run can be said to get nowhere.
TURNS = 10
# The part of what members trained that should at least be behind their weights.
KEPT = 0.5


def lag(population: Population) -> str | None:
    """Say how far members' weights lag behind what members trained, if that is far.

    ``step`` counts the steps behind a member's weights, and ``trained`` those of its own budget. A
    copy from a donor at an earlier step throws the difference away.
    """
    if population.turns < TURNS * len(population):
        return None
    step = statistics.median_low(member.step for member in population)
    trained = statistics.median_low(member.trained for member in population)
    if step >= KEPT * trained:
        return None
    return (
        f"members have trained {trained:,} steps each, but their weights stand at step {step:,} "
        f"(medians): {wording.count(population.copies, 'copy')} in "
        f"{wording.count(population.turns, 'turn')} took them back to weights that had trained "
        f"less"
    )

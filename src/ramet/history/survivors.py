"""Whose first weights survive, as people are told it."""

from ramet.history.lineage import Lineage

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

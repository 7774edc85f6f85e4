"""Labels of places on a picture, which a pointer on it shows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ramet import wording
from ramet.plots.shifts import Stints
from ramet.report.picture import Placed

# Where something is, in data coordinates.
Point = tuple[float, float]


class Labels(NamedTuple):
    """Labels of places on a picture: turns of the page's table, or lines of text."""

    points: Sequence[Point]
    turns: list[int] | None = None
    lines: list[list[str]] | None = None
    # Whether only the horizontal distance to the pointer counts.
    across: bool = False
    # Half the width of each place, and half the height of all, in data coordinates.
    wide: Sequence[float] | None = None
    tall: float = 0.0


def encode(labels: Labels, where: Placed) -> dict[str, Any]:
    """Return labels as the page's script reads them, with their places on the first canvas."""
    return {
        "x": where.x,
        "y": None if labels.across else where.y,
        "turns": labels.turns,
        "lines": labels.lines,
        "wide": labels.wide and [round(half * where.x_unit, 1) for half in labels.wide],
        "tall": round(labels.tall * where.y_unit, 1),
    }


def name_stints(worker: str, stints: Stints) -> list[list[str]]:
    """Return the label of each of a worker's stints."""
    took_s = (stints.stop - stints.start).tolist()
    columns = stints.member.tolist(), stints.turn.tolist(), stints.failed.tolist(), took_s
    return [
        [
            f"member {member}, turn {turn}{', which failed' if failed else ''}",
            wording.duration(took),
            worker,
        ]
        for member, turn, failed, took in zip(*columns, strict=True)
    ]

"""How figures are drawn: the colours of groups, and files that come out the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of groups of members: grey for those in none, which are FIRE's evaluators.
COLOURS = ("0.6", "#0072b2", "#d55e00", "#009e73", "#cc79a7")
# Of whatever else is compared: none of the above, nor black.
OTHERS = ("#e69f00", "#56b4e9", "#882255", "#999933", "#332288", "#aa4499", "#44aa99")


@contextmanager
def figure(out: Path, *, size: tuple[float, float]) -> Iterator["Figure"]:
    """Provide a figure, in inches, and then write it: as what the file's name ends with."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and only figures need it
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    settings: dict[Any, Any] = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        # Of SVG: text stays text, and names of its parts are not drawn by chance.
        "svg.fonttype": "none",
        "svg.hashsalt": "ramet",
    }
    with mpl.rc_context(settings):
        drawn = Figure(figsize=size, layout="constrained")
        yield drawn
        out.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(out, dpi=150, metadata={"Date": None})

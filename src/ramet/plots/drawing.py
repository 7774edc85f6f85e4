"""What all plots share: axes, colours, legends, and files that come out the same each time."""

import io
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import ScaledTranslation

from ramet import files
from ramet.errors import UsageError
from ramet.history import Result
from ramet.visible import cut, visible

# Lines have a contrast of at least 3 with white, and text has one of 4.5. This is the palest grey
# of lines.
GREY = "0.57"
# What leads from one member's weights to another that copies them.
MOVED = "0.4"
# Colours of groups of members; grey is for FIRE's evaluators, which are in none.
COLOURS = (GREY, "#0072b2", "#d55e00", "#009e73", "#cc79a7")
# Colours of anything else that is compared; none of them is black or a group's.
OTHERS = ("#c48400", "#2f93cf", "#882255", "#999933", "#332288", "#aa4499", "#3f9f8e")
# The colours of values, from low to high.
MAP = "plasma"
# The lightest part is left out, because it is hard to see on white.
LIGHTEST = 0.64
# Inches.
SIZE = (8.0, 4.5)
# Characters of a run's name that a title has room for.
NAME_WIDTH = 40
# Settings for writing a figure: text stays text, and ids are not random.
WRITTEN: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "ramet"}
# The look of figures that are drawn without the plots of this room.
DRAWN: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
}
# The metadata in which each format keeps the time at which it was written.
DATES = {".svg": "Date", ".pdf": "CreationDate"}
FORMATS = (".png", ".svg", ".pdf")
DPI = 150
# A picture below a notebook's cell is as wide as the cell.
NOTEBOOK_DPI = 100
# Up to this many groups have clearly different colours; more have shades by their order.
DISTINCT_GROUPS = 6
# In an inch.
POINTS = 72
# What a letter of a legend takes, and all that goes with a label, in the size of other text.
LETTER, SYMBOL = 0.46, 3.6
# The part of the height of axes that is left by a legend below them.
ABOVE_LEGEND = 0.75
# What a letter of other text takes, in its size.
WIDE_LETTER = 0.6
# A colour bar's width, to an inch.
BAR = 7.0
# Lines in a drawing that is still a small file.
RASTERIZED = 3_000


def save(drawn: Axes | Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, by the file's name.

    The same figure gives the same bytes each time.

    Args:
        drawn: The figure, or axes on it.
        path: The file to write; one that already exists is replaced.
    """
    out = Path(path)
    if out.suffix not in FORMATS:
        raise UsageError(
            f"a plot's file must end with one of {list(FORMATS)}, but got {out.name!r}"
        )
    whole = figure_of(drawn) if isinstance(drawn, Axes) else drawn
    date = DATES.get(out.suffix)
    written = io.BytesIO()
    with mpl.rc_context(WRITTEN):
        dated = {date: None} if date else None
        whole.savefig(written, format=out.suffix[1:], dpi=DPI, metadata=dated)
    try:
        files.write(out, written.getvalue())
    except UsageError as error:
        raise UsageError(
            f"a plot must go where it can be written, but {error.__cause__}"
        ) from error


@contextmanager
def figure(out: Path, *, size: tuple[float, float]) -> Iterator[Figure]:
    """Provide a figure, in inches, and then write it: as what the file's name ends with."""
    with mpl.rc_context(DRAWN):
        drawn = Figure(figsize=size, layout="constrained")
        yield drawn
    out.parent.mkdir(parents=True, exist_ok=True)
    save(drawn, out)


class ShownAxes(Axes):
    """Axes on a figure of their own, which a notebook shows where they are a cell's value."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        figure_of(self).savefig(picture, format="png", dpi=NOTEBOOK_DPI)
        return picture.getvalue()


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes are on."""
    found = axes.get_figure()
    if found is None:
        raise UsageError("ax must be on a figure, but these axes were removed from theirs")
    # Of a part of a figure, the whole.
    return found.canvas.figure


def axes_for(ax: Axes | None, *, size: tuple[float, float] = SIZE) -> Axes:
    """Return axes to draw on: those given, or those of a figure of their own."""
    if ax is None:
        made = Figure(figsize=size, layout="constrained").add_subplot(axes_class=ShownAxes)
        made.spines[["top", "right"]].set_visible(False)
        return made
    if not isinstance(ax, Axes):
        raise UsageError(f"ax must be one Matplotlib Axes, or None, but got {type(ax).__name__}")
    return ax


def check(result: Result) -> None:
    """Raise an error if this is not a result."""
    if not isinstance(result, Result):
        raise UsageError(
            f"a plot must be of a Result, as ramet.run and ramet.history.load return, but got "
            f"{type(result).__name__}"
        )


def entitle(axes: Axes, result: Result, said: str) -> None:
    """Write the run's name and a summary above a plot."""
    name = result.opening.name
    axes.set_title(literal(f"{cut(name, NAME_WIDTH)}: {said}"), loc="left", fontsize="medium")


def say(axes: Axes, text: str) -> Axes:
    """Write in the middle of empty axes why they are empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4")
    axes.set(xticks=[], yticks=[])
    return axes


def remark(text: str) -> Artist:
    """Return an entry of a legend that is only text."""
    return Line2D([], [], linestyle="", label=text)


def legend(axes: Axes, handles: Sequence[Artist], *, below: float = 3.4) -> None:
    """Draw a legend below the axes, where it hides nothing; ``below`` is in lines of text."""
    size, figure = _text_size(), figure_of(axes)
    room = _room_below(axes) / figure.dpi * POINTS / size
    for handle in handles:
        handle.set_label(_wrap(str(handle.get_label()), int((room - SYMBOL) / LETTER)))
    widths = [_letters(handle) * LETTER + SYMBOL for handle in handles]
    down = ScaledTranslation(0, -below * size / POINTS, figure.dpi_scale_trans)
    axes.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes + down,
        borderaxespad=0.0,
        frameon=False,
        ncols=_columns(widths, room),
        columnspacing=1.4,
        fontsize="small",
    )


def _room_below(axes: Axes) -> float:
    """Return how wide a legend may be, in pixels.

    One that reached beyond the figure would have the layout narrow the axes until nothing is left.
    """
    box, beside = axes.get_window_extent(), axes.yaxis.get_tightbbox()
    labels = box.x0 - beside.x0 if beside else 0.0
    return float(min(box.width, figure_of(axes).bbox.width - labels))


def _wrap(label: str, most: int) -> str:
    """Return a label in lines of at most this many letters, unless a word is longer."""
    if len(label) <= most:
        return label
    return textwrap.fill(label, max(1, most), break_long_words=False, break_on_hyphens=False)


def _letters(handle: Artist) -> int:
    """Return the letters of a label's longest line."""
    return max(map(len, str(handle.get_label()).split("\n")))


def _text_size() -> float:
    """Return the size of axes' labels in points."""
    return float(FontProperties(size=mpl.rcParams["axes.labelsize"]).get_size())


def width_of(axes: Axes) -> float:
    """Return how wide axes are, in inches."""
    return float(axes.get_window_extent().width / figure_of(axes).dpi)


def fit_across(axes: Axes, text: str, part: float = 1.0) -> str:
    """Return text as it is written across axes, cut to what fits a part of their width."""
    return _fit(text, part * width_of(axes))


def fit_up(axes: Axes, text: str) -> str:
    """Return text as it is written up the side of axes, cut to what fits above a legend."""
    return _fit(text, ABOVE_LEGEND * axes.get_window_extent().height / figure_of(axes).dpi)


def _fit(text: str, inches: float) -> str:
    room = int(inches * POINTS / (WIDE_LETTER * _text_size()))
    # Letters of Chinese, Japanese and Korean are about twice as wide as others.
    double = sum(unicodedata.east_asian_width(letter) in {"W", "F"} for letter in text)
    return literal(cut(text, max(4, room * len(text) // max(1, len(text) + double))))


def _columns(widths: Sequence[float], room: float) -> int:
    """Return how many columns things of some widths fit into, one below the other."""
    for rows in range(1, len(widths)):
        columns = [widths[first : first + rows] for first in range(0, len(widths), rows)]
        if sum(map(max, columns)) <= room:
            return len(columns)
    return 1


def colour_bar(axes: Axes, drawn: ScalarMappable, **settings: Any) -> Colorbar:
    """Draw beside axes which colour is which value, as wide a bar in low ones as in high ones."""
    figure = figure_of(axes)
    aspect = BAR * axes.get_window_extent().height / figure.dpi
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=aspect, **settings)
    bar.outline.set_visible(False)
    return bar


def lines(axes: Axes, paths: Iterable[Any], **look: Any) -> LineCollection:
    """Draw many lines at once, and have the axes make room for them."""
    each = [np.asarray(path, float) for path in paths]
    drawn = LineCollection(each, **look)
    # As an image, where a file would have to hold them all.
    drawn.set_rasterized(len(each) > RASTERIZED)
    axes.add_collection(drawn, autolim=True)
    axes.autoscale_view()
    return drawn


def outline(width: float) -> list[Any]:
    """Return the outline that sets a line off from what is behind it."""
    return [Stroke(linewidth=width, foreground="white"), Normal()]


def opacity(number: int, *, most: float = 0.9, least: float = 0.08, at: int = 40) -> float:
    """Return how opaque each of ``number`` lines may be for all of them to be visible."""
    return float(np.clip((at / max(number, 1)) ** 0.8, least, most))


def literal(text: str) -> str:
    """Return text that Matplotlib shows as it is: dollars begin no formula.

    What cannot be printed is an escape.
    """
    return visible(text).replace("$", r"\$")


def shades(best: int = -1) -> Colormap:
    """Return the colours of values, from low to high, which is the lightest; none has grey.

    Of scores the ``best``, the highest (1) or the lowest (-1), are the darkest.
    """
    colours = mpl.colormaps[MAP](np.linspace(0.0, LIGHTEST, 256))[:: -1 if best > 0 else 1]
    return ListedColormap(colours).with_extremes(bad=GREY)


def colours_of(groups: Sequence[int]) -> dict[int, Any]:
    """Return the colour of each group of members; many have one by their order."""
    if len(groups) == 1:
        return {groups[0]: COLOURS[1]}
    ordered = [group for group in groups if group]
    distinct = (*COLOURS[1:], *OTHERS)
    if len(ordered) > DISTINCT_GROUPS:
        distinct = tuple(shades()(np.linspace(0, 1, len(ordered))))
    colours = dict(zip(ordered, distinct, strict=False))
    return {group: colours.get(group, COLOURS[0]) for group in groups}


def some_of(handles: Sequence[Artist]) -> list[Artist]:
    """Return as many handles as a legend has room for: the last, and others evenly spaced."""
    if len(handles) <= DISTINCT_GROUPS + 1:
        return list(handles)
    *others, last = handles
    return [*(others[round(place)] for place in np.linspace(0, len(others) - 1, 4)), last]

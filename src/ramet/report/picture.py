"""Pictures within a page: a plot as SVG, and where its data are."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ramet.plots.drawing import WRITTEN, figure_of
from ramet.report import dark
from ramet.report.html import Markup
from ramet.report.styles import Styles


class Format(NamedTuple):
    """What a picture is drawn for: a page that is wide, or the screen of a phone."""

    name: str
    # Inches.
    width: float
    # Points. All text is "small", which is 5/6 of this. On a sheet of paper and on a phone's
    # screen of 390 pixels, a point is about a pixel, and nothing is below 11 pixels.
    text: float
    # Lines with more points than this are drawn as pixels.
    dense_points: int


WIDE = Format("wide", 10.0, 13.8, 8_000)
NARROW = Format("narrow", 5.4, 14.6, 2_000)
# Inches.
HEIGHT = 4.4
# The size of all text of a picture.
SMALL = dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), "small")
# SVG counts in points.
POINT = 72.0
# The resolution of lines that are drawn as pixels.
DPI = 160
# A number with more digits than the eye can see, however far a picture is zoomed into.
LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
# A letter of a path, with the blanks around it; and a link within a picture.
AROUND_LETTER, LOCAL = re.compile(r" *([A-Za-z]) *"), re.compile(r"url\(#(.+?)\)")
# Characters that XML cannot contain.
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# Metadata that is left out, because the page itself has it.
SILENT = dict.fromkeys(("Date", "Creator", "Format", "Type"))


class Placed(NamedTuple):
    """Data on a picture: where they are, in its points from the upper left."""

    x: list[float]
    y: list[float]
    # The axes: left, top, right, bottom.
    box: list[float]
    # How long a unit of data is, where the axis has a linear scale.
    x_unit: float
    y_unit: float


@contextmanager
def canvas(form: Format, height: float) -> Iterator[Axes]:
    """Provide axes of a format to draw on; ``height`` is in inches."""
    look: dict[Any, Any] = {
        "font.size": form.text,
        "axes.spines.right": False,
        "axes.spines.top": False,
        **SMALL,
    }
    with mpl.rc_context(look), warnings.catch_warnings():
        # Browsers have other fonts, with more letters.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ ")
        figure = Figure(figsize=(form.width, height), layout="constrained")
        yield figure.add_subplot()
    # A figure is full of reference cycles: only the garbage collector would free it.
    figure.clear()


def draw(axes: Axes, form: Format, prefix: str, styles: Styles) -> Markup:
    """Return a figure as SVG for a page, with its styles as classes.

    Dense lines are drawn as pixels: as SVG, they would take megabytes.

    Args:
        axes: Axes on the figure.
        form: The format that it was drawn in.
        prefix: What makes its ids unique on the page.
        styles: The styles of the page, to which this adds those of the picture.
    """
    figure = figure_of(axes)
    axes.set_title("", loc="left")
    figure.set_facecolor("none")
    for each in figure.axes:
        # The page has a background of its own.
        each.patch.set_visible(False)
        _rasterize_dense(each, form.dense_points)
    out = io.StringIO()
    with mpl.rc_context(WRITTEN):
        canvas = FigureCanvasSVG(figure)
        _lay_out(figure)
        figure.set_dpi(DPI)
        canvas.print_svg(out, metadata=SILENT)  # type: ignore[no-untyped-call] # Matplotlib's
    root = ET.fromstring(UNFIT.sub("\ufffd", out.getvalue()))  # noqa: S314 - Matplotlib's own
    return Markup(_inline(root, prefix, styles))


def locate(axes: Axes, points: Sequence[tuple[float, float]]) -> Placed:
    """Return the positions of points in data coordinates, once the figure is drawn.

    What is beyond the axes, or not finite, is NaN.
    """
    figure = figure_of(axes)
    height = float(figure.get_figheight()) * POINT
    edges = axes.get_window_extent().get_points() * POINT / figure.dpi
    left, right = (float(edge) for edge in edges[:, 0])
    bottom, top = (height - float(edge) for edge in edges[:, 1])
    box = [round(edge, 1) for edge in (left, top, right, bottom)]
    with np.errstate(all="ignore"):
        where = np.array(points, float).reshape(-1, 2)
        x, y = (axes.transData.transform(where) * POINT / figure.dpi).T
    y = height - y
    beside = (x < left - 1) | (x > right + 1)
    beyond = beside | (y < top - 1) | (y > bottom + 1)
    return Placed(
        np.where(beside, np.nan, x).round(1).tolist(),
        np.where(beyond, np.nan, y).round(1).tolist(),
        box,
        (right - left) / float(np.ptp(axes.get_xlim())),
        (bottom - top) / float(np.ptp(axes.get_ylim())),
    )


def _lay_out(figure: Figure) -> None:
    """Find room for labels and legends once. What is rasterized is not measured for this."""
    artists = [it for axes in figure.axes for it in (*axes.collections, *axes.lines)]
    hidden = [it for it in artists if it.get_rasterized() and it.get_visible()]
    for artist in hidden:
        artist.set_visible(False)
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
    figure.set_layout_engine("none")
    for artist in hidden:
        artist.set_visible(True)


def _rasterize_dense(axes: Axes, most: int) -> None:
    for collection in axes.collections:
        points = accumulate(len(path) for path in collection.get_paths())
        is_dense = any(count > most for count in points)
        if is_dense or np.size(collection.get_offsets()) // 2 > most:
            collection.set_rasterized(True)
    for line in axes.lines:
        if np.size(line.get_xdata()) > most:
            line.set_rasterized(True)


def _inline(root: ET.Element, prefix: str, styles: Styles) -> str:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{SVG}metadata", f"{SVG}style"}:
                parent.remove(child)
    # What has no colour of its own is black.
    root.attrib = {"viewBox": root.get("viewBox", ""), "style": "fill: #000000"}
    named = [it for it in root.iter() if it.tag != f"{SVG}g" and it.get("id")]
    ids = {it.get("id", ""): f"{prefix}{nth}" for nth, it in enumerate(named)}
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.tail = None
        if element.tag in {"svg", "g", "defs"}:
            element.text = None
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            element.attrib |= _own(name.removeprefix(LINK), value, ids, styles)
    _double_images(root)
    # The page gives the picture a label for screen readers.
    root.set("aria-hidden", "true")
    return ET.tostring(root, encoding="unicode")


def _double_images(root: ET.Element) -> None:
    """Put an image for a dark page beside each image: its pixels cannot follow variables."""
    for parent in list(root.iter()):
        for nth, child in reversed(list(enumerate(parent))):
            if child.tag == "image":
                light, dim = dark.draw_both(child.get("href", ""))
                other = ET.Element("image", {**child.attrib, "href": dim, "class": "dark"})
                other.attrib.pop("id", None)
                child.set("href", light)
                child.set("class", "light")
                parent.insert(nth + 1, other)


def _own(name: str, value: str, ids: Mapping[str, str], styles: Styles) -> dict[str, str]:
    """Return an attribute as short as can be, with a class for a style and the page's own ids."""
    match name:
        case "id":
            return {"id": ids[value]} if value in ids else {}
        case "style":
            return {"class": styles.name(value)}
        case "d":
            return {"d": AROUND_LETTER.sub(r"\1", _round(value)).strip()}
        case "x" | "y":
            return {name: _round(value)}
        case "href" if value.startswith("#"):
            return {name: f"#{ids[value[1:]]}"}
        case _:
            return {name: LOCAL.sub(lambda link: f"url(#{ids[link[1]]})", value)}


def _round(numbers: str) -> str:
    return LONG.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), numbers)

"""Pictures within a page: a plot as SVG, and where its data are."""

import base64
import io
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from ramet.plots.drawing import WRITTEN, figure_of
from ramet.report.html import Markup

# Inches. As wide as the page on paper, so that text is as large as the page's.
WIDTH, HEIGHT = 10.0, 4.4
# All text is "small", which is 5/6 of this size in points: as wide as a sheet of paper, or as the
# part of a plot that fits a phone, a point is about a pixel, and nothing is below 11 pixels.
LOOK: dict[Any, Any] = {
    "font.size": 13.8,
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), "small"),
}
# SVG counts in points.
POINT = 72.0
# Lines with more points than this are drawn as pixels, at this resolution.
DENSE_POINTS, DPI = 8_000, 160
# An image is stored in 256 colours if its address is longer than this.
LARGE_CHARACTERS = 50_000
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


def canvas(height: float = HEIGHT, *, width: float = WIDTH) -> Axes:
    """Return axes to draw on, as wide as the page; ``height`` and ``width`` are in inches."""
    with mpl.rc_context({"axes.spines.right": False, "axes.spines.top": False}):
        return Figure(figsize=(width, height), layout="constrained").add_subplot()


def draw(axes: Axes, prefix: str) -> Markup:
    """Return a figure as SVG for a page; ``prefix`` makes its ids unique on the page.

    Dense lines are drawn as pixels: as SVG, they would take megabytes.
    """
    figure = figure_of(axes)
    axes.set_title("", loc="left")
    figure.set_facecolor("none")
    for each in figure.axes:
        # On a page that is dark, white would be a box.
        each.patch.set_visible(False)
        _rasterize_dense(each)
    out = io.StringIO()
    with mpl.rc_context(WRITTEN):
        canvas = FigureCanvasSVG(figure)
        _lay_out(figure)
        figure.set_dpi(DPI)
        canvas.print_svg(out, metadata=SILENT)  # type: ignore[no-untyped-call] # Matplotlib's
    root = ET.fromstring(UNFIT.sub("\ufffd", out.getvalue()))  # noqa: S314 - Matplotlib's own
    return Markup(_inline(root, prefix))


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
    """Find room for labels and legends, without drawing what is rasterized.

    ``Figure.savefig`` draws it for this as well, which takes as long as the picture itself.
    """
    artists = [it for axes in figure.axes for it in (*axes.collections, *axes.lines)]
    hidden = [it for it in artists if it.get_rasterized() and it.get_visible()]
    for artist in hidden:
        artist.set_visible(False)
    figure.draw_without_rendering()
    for artist in hidden:
        artist.set_visible(True)


def _rasterize_dense(axes: Axes) -> None:
    for collection in axes.collections:
        points = accumulate(len(path) for path in collection.get_paths())
        is_dense = any(count > DENSE_POINTS for count in points)
        if is_dense or np.size(collection.get_offsets()) // 2 > DENSE_POINTS:
            collection.set_rasterized(True)
    for line in axes.lines:
        if np.size(line.get_xdata()) > DENSE_POINTS:
            line.set_rasterized(True)


def _inline(root: ET.Element, prefix: str) -> str:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{SVG}metadata", f"{SVG}style"}:
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.tail = None
        if element.tag in {"svg", "g", "defs"}:
            element.text = None
        if element.tag == "image":
            element.set(f"{LINK}href", _fewer_colours(element.get(f"{LINK}href", "")))
        element.attrib = {
            name.removeprefix(LINK): _own(name.removeprefix(LINK), value, prefix)
            for name, value in element.attrib.items()
        }
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    # The page gives the picture a label for screen readers.
    root.set("aria-hidden", "true")
    return ET.tostring(root, encoding="unicode")


def _fewer_colours(address: str) -> str:
    """Return an image in 256 colours if it is large, which takes a quarter of the bytes."""
    kind, _, text = address.partition(",")
    if len(text) < LARGE_CHARACTERS:
        return address
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    out = io.BytesIO()
    image.quantize(method=Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return f"{kind},{base64.b64encode(out.getvalue()).decode()}"


def _own(name: str, value: str, prefix: str) -> str:
    """Return the value of an attribute with the picture's prefix before each id."""
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return value.replace("url(#", f"url(#{prefix}-")

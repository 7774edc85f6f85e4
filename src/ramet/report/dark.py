"""The colours of pictures on a page that is light or dark."""

import base64
import io
import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float64]

# The backgrounds of the page, as report.css has them.
LIGHT_SHEET, DARK_SHEET = "#ffffff", "#14171b"
# The contrast of two colours is that of their luminances plus this (WCAG 2, section 1.4.3).
FLARE = 0.05
# Light up to this much is encoded by a line, of this slope.
LINEAR, SLOPE = 0.0031308, 12.92
# How much red, green and blue add to luminance.
PARTS = np.array([0.2126, 0.7152, 0.0722])
# The colours that a picture may be drawn in, within its attributes.
DRAWN = re.compile(r"\b(fill|stroke):( ?)#([0-9a-f]{6})\b")
NAMED = re.compile(r"var\(--([0-9a-f]{6})\)")


def measure_contrast(colour: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21.

    >>> round(measure_contrast("#000000", "#ffffff"), 1)
    21.0
    """
    low, high = np.sort(_linear(_read([colour, other])) @ PARTS)
    return float((high + FLARE) / (low + FLARE))


def turn_dark(colours: Iterable[str]) -> list[str]:
    """Return colours of the same hues that have as much contrast with a dark page as with white.

    >>> turn_dark(["#ffffff", "#000000", "#0072b2"])
    ['#171717', '#ffffff', '#0090df']
    """
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in _turn(_read(colours)).tolist()]


def name_colours(style: str) -> str:
    """Return a style with a variable for each colour, which the page defines.

    >>> name_colours("fill: #0072b2; stroke-width: 2")
    'fill: var(--0072b2); stroke-width: 2'
    """
    return DRAWN.sub(r"\1:\2var(--\3)", style)


def define_colours(styles: str) -> str:
    """Return the rules that give the variables of styles their colours, light and dark."""
    names = sorted(set(NAMED.findall(styles)))
    light = [f"#{name}" for name in names]
    by_sheet = [
        "".join(f"--{name}:{colour};" for name, colour in zip(names, colours, strict=True))
        for colours in (light, turn_dark(light))
    ]
    dark = f"@media screen and (prefers-color-scheme: dark){{:root{{{by_sheet[1]}}}}}"
    return f":root{{{by_sheet[0]}}}\n{dark}\n"


def draw_both(address: str) -> tuple[str, str]:
    """Return an image, as an address with its data, in 256 colours for a light and a dark page."""
    kind, _, text = address.partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA")
    few = image.quantize(method=Image.Quantize.FASTOCTREE)
    light = few.copy()
    palette = np.array(few.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    dark = np.column_stack([_turn(palette[:, :3] / 255), palette[:, 3]]).astype(np.uint8)
    few.putpalette(dark.tobytes(), "RGBA")
    return _write(kind, light), _write(kind, few)


def _write(kind: str, image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return f"{kind},{base64.b64encode(out.getvalue()).decode()}"


def _turn(colours: Floats) -> Floats:
    """Return colours from 0 to 1 as they are on a dark page, from 0 to 255."""
    light = _linear(colours)
    white, black = _linear(_read([LIGHT_SHEET, DARK_SHEET])) @ PARTS + FLARE
    luminance = light @ PARTS
    wanted = np.minimum(black * white / (luminance + FLARE) - FLARE, 1.0)
    # As much of the hue as there can be, and then as much white as it still takes.
    most = light.max(axis=1, keepdims=True)
    full = np.where(most > 0, light / np.where(most > 0, most, 1.0), 1.0)
    pure = full @ PARTS
    dimmed = full * np.minimum(wanted / pure, 1.0)[:, None]
    missing = np.clip((wanted - pure) / np.maximum(1.0 - pure, 1e-9), 0.0, 1.0)[:, None]
    return np.round(255 * _encode(dimmed + (1.0 - dimmed) * missing)).astype(int)


def _read(colours: Iterable[str]) -> Floats:
    """Return colours as rows of red, green and blue, from 0 to 1."""
    data = np.frombuffer(bytes.fromhex("".join(colour[1:] for colour in colours)), np.uint8)
    return data.reshape(-1, 3) / 255


def _linear(colours: Floats) -> Floats:
    """Return colours such that mixing light is adding numbers, by the definition of sRGB."""
    curved: Floats = ((colours + 0.055) / 1.055) ** 2.4
    return np.where(colours <= LINEAR * SLOPE, colours / SLOPE, curved)


def _encode(light: Floats) -> Floats:
    """Return the colours of light, as files have them."""
    curved: Floats = 1.055 * light ** (1 / 2.4) - 0.055
    return np.where(light <= LINEAR, light * SLOPE, curved)

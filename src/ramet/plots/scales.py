"""How the values of a hyperparameter, and scores, are placed on an axis and coloured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.ticker import (
    FuncFormatter,
    Locator,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from ramet.domains import Choice, Constant, Domain, Integer, LogUniform, Value
from ramet.errors import UnknownHyperparameter
from ramet.history import Result
from ramet.plots.drawing import COLOURS, OTHERS, colour_bar, fit_up, literal, remark, shades
from ramet.schedule.pieces import is_number
from ramet.space import Space
from ramet.visible import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

# As Matplotlib writes it.
MINUS = "\N{MINUS SIGN}"
# Options of a choice that an axis has room to name.
NAMED = 24
# The significant digits of numbers, and the most where fewer do not tell them apart.
DIGITS, MOST_DIGITS = 3, 10
# Characters of an option.
OPTION_WIDTH = 16
# Parts of all scores, the worst ones, that an axis and that colours may leave out.
FAR, FAINT = 0.05, 0.1
# Beyond these, margins and ticks of an axis overflow.
SMALLEST, LARGEST = 1e-100, 1e100
# Numbers have a log axis if the largest is more than this many times the smallest. Losses need
# less, and the worst of them do not count.
WIDE, WIDE_LOSSES = 50, 6
# A log axis that spans more than this many times its lowest value has no marks between decades.
FEW_DECADES = 1e7
# Numbers below this one, and above one divided by it, are written without an exponent.
WRITTEN_OUT = 1e5
# Beyond this, Matplotlib may write a long number that is to be added to all others.
LARGE = 1e15

Extend = Literal["neither", "min", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where the values of a name are placed: numbers as they are, options at 0, 1 and so on."""

    name: str
    log: bool = False
    options: tuple[Value, ...] = ()

    def place(self, value: Any) -> float:
        """Return where a value is; NaN for a score that was not finite."""
        if self.options:
            same = (type(value), value)
            return float(next(i for i, o in enumerate(self.options) if (type(o), o) == same))
        return float("nan") if value is None else drawable(float(value))

    def find(self, hparams: Mapping[str, Any]) -> float:
        """Return where the value of its name is; NaN if it is not there."""
        return self.place(hparams[self.name]) if self.name in hparams else math.nan

    def places(self, values: Iterable[Any]) -> Floats:
        return np.array([self.place(value) for value in values], float)

    def texts(self, places: Sequence[float]) -> list[str]:
        """Return what is written at places, with as many digits as tell them apart."""
        said: list[str] = []
        for digits in range(DIGITS, MOST_DIGITS + 1):
            said = [self.text(place, digits) for place in places]
            if self.options or len(set(said)) == len(said):
                break
        return said

    def text(self, place: float, digits: int = DIGITS) -> str:
        """Return what is written at a place."""
        if not self.options:
            return format_number(place, digits)
        nth = round(place)
        if abs(place - nth) > 1e-6 or not 0 <= nth < len(self.options):  # noqa: PLR2004 - rounding
            return ""
        said = str(self.options[nth])
        return literal(cut(said, OPTION_WIDTH))

    def flat(self, places: Any) -> Floats:
        """Return places such that equal distances look equal."""
        return np.log10(places) if self.log else np.asarray(places, float)

    def ticks(self, low: float, high: float, most: int = 5) -> list[float]:
        """Return places between two others that are good to write at."""
        if self.options:
            every = -(-len(self.options) // NAMED)
            return [float(i) for i in range(0, len(self.options), every) if low <= i <= high]
        found = self._locator(low, high, most).tick_values(low, high)
        return [float(tick) for tick in found if low <= tick <= high]

    def set_up(self, axes: "Axes", low: float, high: float) -> None:
        """Have the vertical axis show these values, between two of them."""
        if self.log:
            axes.set_yscale("log")
        axes.set_ylabel(fit_up(axes, self.name))
        self.mark(axes.yaxis, low, high)
        if self.options:
            axes.set_ylim(-0.5, len(self.options) - 0.5)

    def mark(self, axis: Axis, low: float, high: float) -> None:
        """Write values on an axis."""
        if self.options:
            axis.set_ticks(self.ticks(0, len(self.options)))
        elif self.log:
            axis.set_major_locator(self._locator(low, high, 9))
        if self.options or self.log:
            axis.set_minor_locator(self._between(low, high))
            axis.set_minor_formatter(NullFormatter())
        if self.options or self.log or max(abs(low), abs(high)) > LARGE:
            axis.set_major_formatter(FuncFormatter(lambda place, _: self.text(place)))

    def around(self, place: float) -> tuple[float, float]:
        """Return what an axis shows of values that are all the same."""
        # Adding a half does not change a large number.
        room = max(0.5, abs(place) * 1e-6)
        return (place / 1.1, place * 1.1) if self.log else (place - room, place + room)

    def norm(self, places: Floats) -> Normalize:
        """Return how places are coloured."""
        finite = places[np.isfinite(places)]
        if self.options:
            return BoundaryNorm(np.arange(len(self.options) + 1) - 0.5, len(self.options))
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        if low == high:
            low, high = self.around(low)
        return LogNorm(low, high) if self.log else Normalize(low, high)

    def shades(self) -> Colormap:
        """Return the colours: options that have no order have some that have none."""
        count, distinct = len(self.options), (*COLOURS[1:], *OTHERS)
        if not count:
            return shades()
        if count > len(distinct) or all(is_number(option) for option in self.options):
            return ListedColormap(shades()(np.linspace(0, 1, count)))
        return ListedColormap(distinct[:count])

    def explain(self, axes: "Axes", drawn: ScalarMappable, extend: Extend = "neither") -> None:
        """Draw a bar that says which colour is which value."""
        bar = colour_bar(axes, drawn, extend=extend)
        bar.set_label(fit_up(axes, self.name))
        self.mark(bar.ax.yaxis, *bar.ax.get_ylim())

    def _between(self, low: float, high: float) -> Locator:
        """Return where marks without values are: between decades, so that a log axis looks so."""
        if not self.log or high / low > FEW_DECADES:
            return NullLocator()
        return LogLocator(subs=range(2, 10), numticks=100)

    def _locator(self, low: float, high: float, most: int) -> Any:
        if not self.log:
            return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
        decades = np.log10(high / low)
        return LogLocator(subs=(1.0,) if decades >= 2 else (1.0, 2.0, 5.0), numticks=most)  # noqa: PLR2004 - as many labels either way


def format_number(number: float, digits: int = DIGITS) -> str:
    """Return a number as it is read, with this many significant digits.

    >>> format_number(1 / 3), format_number(1_000.0), format_number(1e-5), format_number(1.7e308)
    ('0.333', '1,000', '1e-5', '≥1e100')
    """
    size, there = abs(number), drawable(number)
    said = f"{MINUS if there < 0 else ''}{_write(abs(there), digits)}"
    if not size or SMALLEST < size < LARGEST or math.isnan(number):
        return said
    return f"{'≥' if (size >= LARGEST) == (number > 0) else '≤'}{said}"


def _write(number: float, digits: int) -> str:
    if not number or 1 / WRITTEN_OUT < number < WRITTEN_OUT:
        return f"{float(f'{number:.{digits}g}'):,.10g}"
    mantissa, _, exponent = f"{number:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else f"{number:,.{digits}g}"


def drawable(number: float) -> float:
    """Return where a number is drawn: one that axes cannot show, at the nearest that they can.

    >>> drawable(-1.7e308), drawable(1e-320), drawable(0.0)
    (-1e+100, 1e-100, 0.0)
    """
    size = abs(number)
    if not size or SMALLEST <= size <= LARGEST or math.isnan(number):
        return number
    return math.copysign(min(max(size, SMALLEST), LARGEST), number)


def elsewhere(numbers: Iterable[Any], what: str) -> list[Artist]:
    """Return what a legend says if some numbers are beyond what axes can show."""
    # Few numbers, if any, fail the first comparison, which takes no call.
    is_there = any(
        not SMALLEST < abs(number) < LARGEST and drawable(number) != number
        for number in numbers
        if isinstance(number, float)
    )
    return [remark(f"{what} beyond 1e±100 are drawn there")] if is_there else []


def scale_of(result: Result, name: str) -> Scale:
    """Return how a hyperparameter's values are placed."""
    space = Space.from_description(result.opening.space)
    if name not in space:
        raise UnknownHyperparameter(
            f"a hyperparameter must be one of the run's, {list(space)}, but got {name!r}"
        )
    return of_domain(name, space[name])


def moving(result: Result) -> list[Scale]:
    """Return how all hyperparameters are placed that are not constant."""
    space = Space.from_description(result.opening.space)
    return [of_domain(name, d) for name, d in space.items() if not isinstance(d, Constant)]


def of_domain(name: str, domain: Domain) -> Scale:
    """Return how the values of a domain are placed."""
    match domain:
        case LogUniform() | Integer(log=True):
            return Scale(name=name, log=True)
        case Choice(options=options):
            return Scale(name=name, options=tuple(options))
        case Constant(value=bool() | str() | None as value):
            return Scale(name=name, options=(value,))
        case _:
            return Scale(name=name)


def scale_of_scores(places: Floats, sign: int) -> Scale:
    """Return how scores are placed: losses of which some are many times the best by logarithms."""
    finite = places[np.isfinite(places)]
    is_wide = (
        sign < 0
        and len(finite) > 0
        and finite.min() > 0
        and np.quantile(finite, 1 - FAR) > WIDE_LOSSES * finite.min()
    )
    return Scale(name="score", log=bool(is_wide))


def usual(places: Floats, sign: int, far: float) -> tuple[float, float]:
    """Return the bounds of scores without the worst part of them; the best is within."""
    finite = places[np.isfinite(places)]
    worst = float(np.quantile(finite, far if sign > 0 else 1 - far))
    low, high = sorted((worst, float(finite.max() if sign > 0 else finite.min())))
    return (low, high) if low < high else (float(finite.min()), float(finite.max()))


def shade(scale: Scale, places: Floats, sign: int) -> tuple[Normalize, Extend]:
    """Return how scores are coloured, and at which end some are beyond the colours."""
    finite = places[np.isfinite(places)]
    if not len(finite):
        return scale.norm(finite), "neither"
    low, high = usual(places, sign, FAINT)
    below, above = finite.min() < low, finite.max() > high
    return scale.norm(np.array([low, high])), "min" if below else "max" if above else "neither"

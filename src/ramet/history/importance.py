"""How much each hyperparameter mattered for later scores, and how sure that is.

Lines of training that went on from the same weights with different values are compared, because
what they had before is the same for all of them. Across all members, values that did nothing seem
to matter: copies spread them together with good weights.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ramet.domains import Choice, Constant, Domain, Value
from ramet.events import Birth
from ramet.history.lineage import Lineage
from ramet.history.turns import FRESH, Turns
from ramet.space import Hparams, Space
from ramet.strategies.axes import to_unit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.signedinteger]

# A line is judged this part of the run after it began, or when it was given up.
LATER = 0.25
# With fewer lines, or fewer members, nothing is estimated.
LEAST_LINES, LEAST_MEMBERS = 12, 4
# Lines that are compared, at most; of more, groups are left out evenly.
MOST_LINES = 2_000
# Draws of members for an interval, and of values for what chance alone gives.
DRAWS, SHUFFLES = 200, 200
# The interval holds this part of the draws.
INTERVAL = 0.9
# Chance alone gives as much at most this often if a hyperparameter is said to matter.
SURE = 0.01
# The group of members that are in none: FIRE's evaluators, which are not ranked.
NO_GROUP = 0


class Importance(NamedTuple):
    """How much a hyperparameter mattered.

    Args:
        name: The hyperparameter.
        of: "first values", which are spread over the whole space, or "changes", which are smaller.
        part: The part of the differences in later rank that goes with its values, from 0 to 1, less
            what chance alone gives.
        low: The lower end of a 90 % interval of ``part``, over draws of members.
        high: Its upper end.
        chance: How often chance alone gives as much.
        found: "yes" if it had an influence that chance does not explain, "none found" if not, and
            "too few lines" if there are not enough to compare.
        lines: The number of lines that were compared: those in groups in which values differ.
    """

    name: str
    of: Literal["first values", "changes"]
    part: float
    low: float
    high: float
    chance: float
    found: Literal["yes", "none found", "too few lines"]
    lines: int


class _Line(NamedTuple):
    """What a member trained from some weights on, until it was given up or judged."""

    # The place of the turn that it went on from.
    origin: int
    member: int
    hparams: Hparams
    # The part of the run at which it began.
    began: float
    # The rank it came to, from 0, the worst, to 1.
    rank: float

    @property
    def is_first(self) -> bool:
        return self.origin == FRESH


def measure_importance(lineage: Lineage) -> list[Importance]:
    """Return how much first values and later changes of each hyperparameter mattered.

    The hyperparameters that mattered most are first; constants are left out. Lines that went on
    from the same weights are a group, and all first weights are one. A line is judged by its rank
    among all members a quarter of the run later, or by its last rank if it was given up before. A
    model fits the differences of ranks within groups to the differences of values: a curve for
    numbers, which may change in the course of the run, and a level for each option. The answer is
    the part of these differences that it explains, less what it explains when values are shuffled
    within groups. The interval comes from drawing members with replacement.

    Args:
        lineage: The turns of the run.
    """
    space = Space.from_description(lineage.opening.space)
    lines = _find_lines(lineage)
    found = []
    for name, domain in space.items():
        if not isinstance(domain, Constant):
            its = [line for line in lines if name in line.hparams]
            first = _measure(name, "first values", domain, [it for it in its if it.is_first])
            found.append((first, _measure(name, "changes", domain, _other(its))))
    # Those without an influence keep the order of the space, because their parts are noise.
    found.sort(key=lambda pair: -max(one.part if one.found == "yes" else 0.0 for one in pair))
    return [one for pair in found for one in pair]


def _other(lines: Sequence[_Line]) -> list[_Line]:
    return [line for line in lines if not line.is_first]


def _find_lines(lineage: Lineage) -> list[_Line]:
    """Return the lines that went on from the same weights as others, group by group."""
    turns, births = lineage.turns, lineage.opening.births
    siblings: defaultdict[int, list[int]] = defaultdict(list)
    following: dict[int, int] = {}
    for place, (origin, member) in enumerate(zip(turns.origins, turns.members, strict=True)):
        if takes_part(births[member]):
            siblings[origin].append(place)
            if origin != FRESH and turns.members[origin] == member:
                following[origin] = place
    groups = {origin: its for origin, its in siblings.items() if len(its) > 1}
    ranks = _rank(lineage)
    last = max(turns.numbers, default=0)
    most = max(1, round(LATER * last))
    every = max(1, -(-sum(map(len, groups.values())) // MOST_LINES))
    chosen = [origin for origin in groups if origin == FRESH]
    chosen += [origin for origin in groups if origin != FRESH][::every]
    return [
        _Line(
            origin,
            turns.members[place],
            turns.hparams[place],
            turns.numbers[place] / max(1, last),
            ranks[_end(turns, place, following, most)],
        )
        for origin in chosen
        for place in groups[origin]
    ]


def takes_part(birth: Birth) -> bool:
    """Return whether a member has values of its own: FIRE's evaluators have their references'."""
    return birth.ranked or birth.group != NO_GROUP


def _end(turns: Turns, place: int, following: Mapping[int, int], most: int) -> int:
    """Return the place at which a line is judged: where it was given up, or some turns later."""
    first = turns.numbers[place]
    while place in following and turns.numbers[following[place]] - first <= most:
        place = following[place]
    return place


def _rank(lineage: Lineage) -> Floats:
    """Return each turn's rank among the turns of the same number, from 0, the worst, to 1."""
    turns, births = lineage.turns, lineage.opening.births
    sign = -1.0 if lineage.opening.better == "lower" else 1.0
    scores = sign * np.array(turns.scores, float)
    scores[np.isnan(scores)] = -np.inf
    found = np.zeros(len(scores))
    by_number: defaultdict[int, list[int]] = defaultdict(list)
    for place, (number, member) in enumerate(zip(turns.numbers, turns.members, strict=True)):
        if takes_part(births[member]):
            by_number[number].append(place)
    for places in by_number.values():
        its = scores[places]
        ordered = np.sort(its)
        # Equal scores share a rank.
        middle = (
            np.searchsorted(ordered, its, "left") + np.searchsorted(ordered, its, "right") - 1
        ) / 2
        found[places] = middle / max(1, len(places) - 1)
    return found


def _measure(
    name: str, of: Literal["first values", "changes"], domain: Domain, lines: Sequence[_Line]
) -> Importance:
    lines = _together(lines)
    compared = _count_lines(name, lines)
    members, owner = np.unique([line.member for line in lines], return_inverse=True)
    if compared < LEAST_LINES or len(members) < LEAST_MEMBERS:
        return Importance(name, of, 0.0, 0.0, 1.0, 1.0, "too few lines", compared)
    # The same run always has the same answer.
    rng = np.random.default_rng(0)
    values, began = _features(name, domain, lines), np.array([line.began for line in lines])
    group = np.unique([line.origin for line in lines], return_inverse=True)[1]
    rank = np.array([line.rank for line in lines])
    every = np.ones(len(lines))

    def explain(values: Floats, weights: Floats) -> float:
        # What is best late in a run may differ from what is best early.
        return _explain(np.hstack([values, values[:, :1] * began[:, None]]), rank, group, weights)

    whole = explain(values, every)
    by_chance = np.array([explain(values[_shuffle(group, rng)], every) for _ in range(SHUFFLES)])
    counts = (
        np.bincount(rng.integers(len(members), size=len(members)), minlength=len(members))
        for _ in range(DRAWS)
    )
    drawn = np.array([explain(values, count[owner].astype(float)) for count in counts])
    least = float(by_chance.mean())
    # Draws hold lines twice, and so explain more than the whole does.
    ends = np.quantile(drawn, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]) - drawn.mean()
    low, high = np.clip(ends + whole - least, 0.0, 1.0).tolist()
    chance = float((1 + (by_chance >= whole).sum()) / (1 + SHUFFLES))
    found: Literal["yes", "none found"] = "yes" if chance <= SURE and low > 0 else "none found"
    part = max(0.0, whole - least)
    return Importance(name, of, part, min(low, part), max(high, part), chance, found, compared)


def _together(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines that are not the only one of their group that has a value."""
    sizes = Counter(line.origin for line in lines)
    return [line for line in lines if sizes[line.origin] > 1]


def _count_lines(name: str, lines: Sequence[_Line]) -> int:
    """Return how many lines there are in groups in which values differ."""
    values: defaultdict[int, set[tuple[type, Value]]] = defaultdict(set)
    for line in lines:
        values[line.origin].add((type(line.hparams[name]), line.hparams[name]))
    return sum(len(values[line.origin]) > 1 for line in lines)


def _features(name: str, domain: Domain, lines: Sequence[_Line]) -> Floats:
    """Return columns of numbers that stand for the values: a place and its square, or options."""
    if isinstance(domain, Choice):
        options = {(type(option), option): nth for nth, option in enumerate(domain.options)}
        nth = [options[type(line.hparams[name]), line.hparams[name]] for line in lines]
        return np.eye(len(options))[nth]
    places = np.array([to_unit(domain, line.hparams[name]) for line in lines], float)
    return np.stack([places, places**2], axis=1).reshape(-1, 2)


def _explain(features: Floats, rank: Floats, group: Ints, weights: Floats) -> float:
    """Return the part of the differences of ranks within groups that goes with features."""
    total = np.bincount(group, weights)
    with np.errstate(divide="ignore"):
        share = np.where(total > 0, 1 / total, 0.0)

    def center(column: Floats) -> Floats:
        centred: Floats = column - (np.bincount(group, weights * column) * share)[group]
        return centred

    x, y = np.stack([center(column) for column in features.T], axis=1), center(rank)
    spread = float(weights @ y**2)
    if spread <= 0:
        return 0.0
    weighted = (weights[:, None] * x).T
    fitted = np.linalg.pinv(weighted @ x, rcond=1e-9, hermitian=True) @ (weighted @ y)
    return float(fitted @ (weighted @ y)) / spread


def _shuffle(group: Ints, rng: np.random.Generator) -> Ints:
    """Return places such that each is exchanged with one of the same group."""
    found = np.empty(len(group), np.int64)
    found[np.argsort(group, kind="stable")] = np.lexsort((rng.random(len(group)), group))
    return found

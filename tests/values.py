"""What the tests draw: domains, spaces, populations, logs and state trees."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec.structs import replace

from ramet.digest import digest
from ramet.domains import Choice, Constant, Domain, Integer, LogUniform, Uniform, Value
from ramet.engine.engines import Inline
from ramet.engine.run.failures import Failures
from ramet.errors import SpaceError
from ramet.events import (
    Annotated,
    AnyEvent,
    AttemptFailed,
    Birth,
    Copied,
    Explored,
    LeftUnread,
    Rested,
    RoundEnded,
    RunOpened,
    TurnEnded,
    TurnLost,
    Weights,
    fold,
)
from ramet.goals import Goal
from ramet.points import Curve
from ramet.population import (
    Checkpoint,
    Member,
    Population,
)
from ramet.series import pack
from ramet.space import Hparams, Space
from ramet.space.arrays import Array
from ramet.space.conditions import When
from ramet.space.limits import AtMost, ProductAtMost, SumAtMost
from ramet.strategies import Action, Strategy

Draw: TypeAlias = Callable[..., Any]

TURN_STEPS = 5
STEPS = 20
UNIT = Space(lr=Uniform(0.0, 1.0))
# Trains in this process, and fails if the loop leaves a hyperparameter unread.
STRICT = Inline(failures=Failures(strict=True))


rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
# Any positive finite factor, and often one that somebody would write.
factors = st.sampled_from([0.5, 0.8, 1.0, 1.2, 1.25, 2.0]) | st.floats(
    min_value=0.0, exclude_min=True, allow_infinity=False
)
reals = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-10.0, 10.0)
    | st.integers(-10, 10)
    | st.just(0.0)
)
wholes = st.integers(-5, 5) | st.integers(-(2**53), 2**53)
plain_values: st.SearchStrategy[Value] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)


def _pairs(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    ordered = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
    return ordered.filter(lambda pair: pair[0] < pair[1] and math.isfinite(pair[1] - pair[0]))


def _starts(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any] | None]:
    return st.none() | st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))


@st.composite
def uniforms(draw: Draw) -> Uniform:
    low, high = draw(_pairs(reals))
    return Uniform(
        low, high, start=draw(_starts(st.sampled_from([low, high]) | st.floats(low, high)))
    )


@st.composite
def log_uniforms(draw: Draw) -> LogUniform:
    positive = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)
    low, high = draw(_pairs(positive | st.integers(1, 10)))
    return LogUniform(
        low, high, start=draw(_starts(st.sampled_from([low, high]) | st.floats(low, high)))
    )


@st.composite
def integers(draw: Draw) -> Integer:
    log = draw(st.booleans())
    low, high = draw(_pairs(st.integers(1, 9) | st.integers(1, 2**53) if log else wholes))
    return Integer(low, high, log=log, start=draw(_starts(st.integers(low, high))))


@st.composite
def choices(draw: Draw, *, ordered: bool | None = None) -> Choice:
    distinct = st.lists(
        plain_values, min_size=1, max_size=5, unique_by=lambda value: (type(value), value)
    )
    return Choice(draw(distinct), ordered=draw(st.booleans()) if ordered is None else ordered)


domains: st.SearchStrategy[Domain] = (
    uniforms() | log_uniforms() | integers() | choices() | plain_values.map(Constant)
)


def values_of(domain: Domain) -> st.SearchStrategy[Any]:
    """Draw any value of a domain, its bounds among them."""
    match domain:
        case Choice():
            return st.sampled_from(domain.options)
        case Constant():
            return st.just(domain.value)
        case Integer():
            return st.sampled_from([domain.low, domain.high]) | st.integers(domain.low, domain.high)
    low, high = float(domain.low), float(domain.high)
    return st.sampled_from([low, high]) | st.floats(low, high)


names = st.sampled_from(["lr", "momentum", "decay", "augment.p", "augment.n"])
spaces = st.dictionaries(names, domains, min_size=1, max_size=3).map(Space)


positives: st.SearchStrategy[Domain] = st.sampled_from(
    [
        Uniform(0.0, 1.0),
        Uniform(0.0, 4.0, start=(3.0, 4.0)),
        LogUniform(1e-3, 10.0),
        Integer(0, 20),
        Integer(1, 1_000, log=True, start=(5, 50)),
        Choice([1, 2, 8], ordered=True),
        Choice([0.5, 3], ordered=True),
        Constant(1),
    ]
)


@st.composite
def rich_spaces(draw: Draw) -> Space:
    """Draw a space with conditions, in chains and on groups, arrays and limits."""
    kind = Choice(["a", "b", "c"], ordered=draw(st.booleans()))
    depth = Integer(1, 3)
    parts: dict[str, Any] = {
        "lr": Array(draw(domains), draw(st.integers(1, 3))),
        "drop": Array(draw(positives | choices(ordered=True)), 2, together=draw(st.booleans())),
        "low": draw(positives),
        "only": When(draw(positives), kind=draw(st.sampled_from(["a", ["a", "c"]]))),
        "chained": When(draw(domains), inner=draw(st.sampled_from([1, [2, 3]]))),
        "inner": When(depth, kind=["a", "b"]),
        "group": When({"x": draw(domains), "y": Array(draw(positives), ("p", "q"))}, kind="b"),
        "kind": kind,
        "high": draw(positives),
    }
    names = draw(st.permutations(list(parts)))
    limits = [
        AtMost("low", "high", factor=draw(st.sampled_from([0.5, 1.0, 3.0]))),
        AtMost("only", "high"),
        SumAtMost(["low", "only", "group.y.p"], draw(st.floats(2.0, 30.0))),
        ProductAtMost(["high", "low", "only"], draw(st.floats(5.0, 50.0))),
    ]
    chosen = draw(st.lists(st.sampled_from(limits), unique=True, max_size=3))
    try:
        return Space({name: parts[name] for name in names}, limits=chosen)
    except SpaceError:  # No values keep these limits.
        return Space({name: parts[name] for name in names})


# Anything that a latest score can be, ties often among it.
scores = (
    st.none()
    | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 2.0])
    | st.floats(allow_nan=True, allow_infinity=True)
)
score_vectors = st.lists(scores, min_size=2, max_size=10)


def member(id_: int, *curve: float, trained: int = TURN_STEPS, **fields: Any) -> Member:
    """Return a member with these scores behind it, one a step."""
    points = Curve(steps=tuple(range(1, len(curve) + 1)), scores=curve)
    hparams = fields.pop("hparams", {"lr": id_ / 10})
    fields = {"step": len(points), "turn": int(len(points) > 0)} | fields
    return Member(id=id_, hparams=hparams, trained=trained, curve=points, **fields)


def with_scores(latest: Sequence[float | None]) -> list[Member]:
    """Return members with these latest scores; None is a member that was never scored."""
    return [member(id_, *([] if score is None else [score])) for id_, score in enumerate(latest)]


def population(members: Sequence[Member], *, space: Space = UNIT, steps: int = STEPS) -> Population:
    return Population(space=space, steps=steps, members=tuple(members))


finite = st.floats(allow_nan=False, allow_infinity=False)
# Often equal, and often on a front together.
costs = st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]) | st.floats()
GOALS = (
    Goal(name="score", better="max", at_least=-1e6),
    Goal(name="cost", better="min", at_most=100.0),
)
notes = st.none() | st.dictionaries(st.text(max_size=3), st.integers(-9, 9) | finite, max_size=2)


def opening(space: Space = UNIT, births: Sequence[Birth] | None = None) -> RunOpened:
    """Return the opening of a run, of three members unless told."""
    if births is None:
        births = [Birth(hparams={"lr": lr}) for lr in (0.1, 0.2, 0.3)]
    return RunOpened(
        name="lm",
        seed=0,
        mode="max",
        steps=STEPS,
        synchronous=False,
        turn_steps=TURN_STEPS,
        keep="lineage",
        space=space.describe(),
        strategy={},
        births=tuple(births),
    )


def turn_ended(before: Member, *latest: float | None) -> TurnEnded:
    """Return the end of a member's next turn, with these scores: the last at its last step."""
    return TurnEnded(
        member=before.id,
        turn=before.turn,
        trained=before.trained + TURN_STEPS,
        step=before.step + TURN_STEPS,
        points=tuple(
            (before.step + TURN_STEPS * place // len(latest), score)
            for place, score in enumerate(latest, start=1)
        ),
        digest=f"{before.id}-{before.turn}",
    )


def decided(strategy: Strategy, population: Population, *, seed: int = 0) -> list[Action]:
    """Return what a strategy decides when everybody is ready."""
    rng = np.random.default_rng(seed)
    return list(strategy.decide(population, range(len(population)), rng))


def born(strategy: Strategy, space: Space = UNIT, seed: int = 0) -> list[dict[str, Any]]:
    """Return the values that a strategy's members start with."""
    births = strategy.births(space, STEPS, np.random.default_rng(seed))
    return [dict(birth.hparams) for birth in births]


def turn_lost(before: Member) -> TurnLost:
    trained = before.trained + TURN_STEPS
    return TurnLost(member=before.id, turn=before.turn, trained=trained, why="failed")


def rested(before: Member) -> Rested:
    return Rested(member=before.id, turn=before.turn, trained=before.trained + TURN_STEPS)


def attempt_failed(before: Member) -> AttemptFailed:
    return AttemptFailed(member=before.id, turn=before.turn, error="ValueError: no", traceback="…")


def copied(
    loser: int, source: Member, *, weights: bool, hparams: bool, whole_curve: bool = False
) -> Copied:
    """Return a copy of what the source is now."""
    points = source.curve.points()[0 if whole_curve else -1 :]
    has_some = weights and source.checkpoint is not None
    return Copied(
        member=loser,
        source=source.id,
        kind="exploit",
        weights=Weights(checkpoint=source.checkpoint, points=points) if has_some else None,
        hparams=source.hparams if hparams else None,
    )


def next_events(
    now: Population, hparams: st.SearchStrategy[Hparams]
) -> st.SearchStrategy[AnyEvent]:
    """Draw something that can happen to a population next."""
    subjects = st.sampled_from(now.members)
    # Who has used its budget trains no more.
    going = [member for member in now if not now.is_finished(member.id)]
    ids = st.integers(0, len(now) - 1)
    latest = st.lists(st.none() | finite, min_size=1, max_size=TURN_STEPS)
    flags = {name: st.booleans() for name in ("weights", "hparams", "whole_curve")}
    return st.one_of(
        *(
            _turns(st.sampled_from(going), latest, costs if now.goals else st.none())
            if going
            else ()
        ),
        st.builds(copied, ids, subjects, **flags),
        st.builds(copied, ids, subjects, **flags),
        st.builds(Explored, member=ids, hparams=hparams),
        st.builds(Annotated, member=st.none() | ids, data=notes),
        st.builds(LeftUnread, name=st.sampled_from(list(now.space))),
        st.just(RoundEnded(round=now.round)),
    )


def _turns(
    going: st.SearchStrategy[Member],
    latest: st.SearchStrategy[list[float | None]],
    costs: st.SearchStrategy[float | None],
) -> list[st.SearchStrategy[AnyEvent]]:
    """Return what can become of a turn of a member that has one; most of them end."""

    def end(before: Member, scores: list[float | None], cost: float | None) -> TurnEnded:
        ended = turn_ended(before, *scores)
        points = {} if cost is None else {"cost": [(ended.step, cost)]}
        return replace(ended, metrics=pack(points))

    ended = st.builds(end, going, latest, costs)
    return [ended, ended, going.map(attempt_failed), going.map(turn_lost), going.map(rested)]


@st.composite
def logs(draw: Draw) -> list[AnyEvent]:
    """Draw a run's log, from its opening on."""
    space: Space = draw(spaces)
    hparams = st.fixed_dictionaries({name: values_of(domain) for name, domain in space.items()})
    births = st.builds(
        Birth,
        hparams=hparams,
        group=st.integers(0, 3),
        ranked=st.booleans(),
        rests=st.booleans(),
        data=notes,
    )
    opened = opening(space, draw(st.lists(births, min_size=1, max_size=4)))
    goals = draw(st.sampled_from([(), GOALS]))
    log: list[AnyEvent] = [replace(opened, remember=draw(st.integers(0, 2)), goals=goals)]
    now = fold(log)
    for _ in range(draw(st.integers(0, 12))):
        log.append(draw(next_events(now, hparams)))
        now = fold(log[-1:], now)
    return log


@st.composite
def stacked_logs(draw: Draw) -> tuple[list[AnyEvent], list[int]]:
    """Draw a log, some turns of which left their states in a stack; and where it may be cut.

    That is nowhere between the turns of a stack, which end in one commit.
    """
    log: list[AnyEvent] = []
    kept: dict[str, Checkpoint] = {}
    stack: str | None = None
    row, cuts = 0, []
    for event in draw(logs()):
        match event:
            case TurnEnded():
                row, stack = (row + 1, stack) if stack and draw(st.booleans()) else (0, None)
                if stack is None and draw(st.booleans()):
                    stack = f"{event.member}-{event.turn}-{digest([event.digest.encode()])}"
                if stack is not None:
                    event = replace(event, stack=stack, row=row)  # noqa: PLW2901 - the same turn
                kept[event.checkpoint.key] = event.checkpoint
            case Copied(weights=Weights() as weights):
                weights = replace(weights, checkpoint=kept[weights.checkpoint.key])
                event, stack = replace(event, weights=weights), None  # noqa: PLW2901 - the same copy
            case _:
                stack = None
        if not (isinstance(event, TurnEnded) and row):
            cuts.append(len(log))
        log.append(event)
    return log, [*(cut for cut in cuts if cut), len(log)]


dtypes = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.floating_dtypes()
arrays = hnp.arrays(
    dtypes | hnp.complex_number_dtypes(),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | arrays
    | st.floats(width=32).map(np.float32)
)
# Half of a character among it, which file names may have.
texts = st.text(st.characters(exclude_categories=()), max_size=3)
leaves |= texts | st.binary(min_size=1100, max_size=1200)


def _trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(texts | st.integers(-9, 9) | st.integers(), inner, max_size=3)
        ),
        max_leaves=8,
    )


@st.composite
def _sharing(draw: Draw) -> Any:
    """Draw a tree with a few arrays and containers that may each be at several places."""
    shared = draw(st.lists(_trees(leaves), min_size=1, max_size=3))
    shared.append(draw(_trees(st.sampled_from(shared))))
    return draw(_trees(leaves | st.sampled_from(shared)))


trees = _trees(leaves) | _sharing()
variables = st.dictionaries(st.text(max_size=3), trees, max_size=3)


def in_native_order(tree: Any) -> Any:
    """Return a tree with its arrays in this machine's order of bytes."""
    if isinstance(tree, dict):
        return {key: in_native_order(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(in_native_order, tree))
    return tree.astype(tree.dtype.newbyteorder("=")) if isinstance(tree, np.ndarray) else tree


def sharing(tree: Any) -> list[int]:
    """Return a number for each place of an array, dict or list; the same object has the same."""
    begun: dict[int, int] = {}
    return [begun.setdefault(id(part), len(begun)) for part in _mutable(tree)]


def _mutable(tree: Any) -> list[Any]:
    """Return what can be written on in a tree, place by place."""
    inner = tree.values() if isinstance(tree, dict) else tree
    parts = inner if isinstance(tree, dict | list | tuple) else ()
    own = [tree] if isinstance(tree, dict | list | np.ndarray) else []
    return own + [part for inner in parts for part in _mutable(inner)]


def alike(one: Any, other: Any) -> bool:
    """Say whether two trees are equal to the bit, their types included, whatever the key order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, np.ndarray | np.generic):
        same = (one.dtype, one.shape) == (other.dtype, other.shape)
        return same and one.tobytes() == other.tobytes()
    return _bits(one) == _bits(other)


def _bits(leaf: Any) -> Any:
    return np.array(leaf).tobytes() if isinstance(leaf, float | complex) else leaf

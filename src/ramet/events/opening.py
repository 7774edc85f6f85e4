"""The event that opens a run."""

from typing import Any, Literal, TypeAlias

import msgspec

from ramet.errors import CorruptLog
from ramet.events.base import Event
from ramet.goals import Goal, check_goals, negate_score
from ramet.laws import Count, Positive, Seed, check_hparams, check_space
from ramet.population import Better, Member, Population, Ties
from ramet.replica import Replica
from ramet.space import Hparams

# Which scores are good.
Mode: TypeAlias = Literal["max", "min"]
# Which checkpoints a run keeps.
Keep: TypeAlias = Literal["best", "live", "lineage", "all"]
# Settings that older logs do not have, with what was done without them.
NEWER: dict[str, dict[str, Any]] = {
    "FIRE": {"synchronous": True, "greedy_explore": None},
    "GaussianProcess": {"choices": "redraw"},
    "Replay": {"renewed": []},
}


class Birth(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a member starts with."""

    hparams: Hparams
    # The sub-population that it belongs to.
    group: int = 0
    # Whether its scores count for the best of the run.
    ranked: bool = True
    # Whether it rests in the first round. It then has no weights until it copies some.
    rests: bool = False
    # What the strategy keeps about it.
    data: Any = None


class RunOpened(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A run began. Its settings are data to read and to compare, not code to run."""

    # The run's name.
    name: str
    seed: Seed
    mode: Mode
    # The budget of each member.
    steps: Positive
    # Whether members wait for each other and decide together.
    synchronous: bool
    # Steps in a turn. Logs call them "ready", as the first version did.
    turn_steps: Positive = msgspec.field(name="ready")
    keep: Keep
    # The space, as ``Space.describe`` describes it.
    space: dict[str, Any]
    # The strategy, as ``ramet.description.describe`` describes it.
    strategy: dict[str, Any]
    # What each member starts with, in the order of their ids.
    births: tuple[Birth, ...]
    # Logs without this field have "first": pruning has kept the checkpoint of the first.
    ties: Ties = "first"
    # Which scores are better in the events that follow. Stores hold maximised scores, so theirs is
    # always "higher"; ``Result.events`` has scores as they were reported.
    better: Better = "higher"
    # The fingerprint of the code that trains; None if its source could not be read, and in logs
    # from before it was recorded.
    code: str | None = None
    # How many past turns of each member the population keeps, because the strategy looks at them.
    remember: Count = 0
    # What the strategy wants of metrics, in the sign in which all are reported.
    goals: tuple[Goal, ...] = ()

    def __post_init__(self) -> None:
        """Describe a strategy in an older log as it is described now."""
        strategy = {name: _update(value) for name, value in self.strategy.items()}
        if "ready" in strategy and "turn_steps" not in strategy:
            strategy = _with_turn_steps(strategy)
        strategy = _with_newer(strategy)
        if strategy != self.strategy:
            msgspec.structs.force_setattr(self, "strategy", strategy)

    @property
    def goals_of_scores(self) -> tuple[Goal, ...]:
        """The goals, with the bounds of the score in the sign of the scores that follow."""
        negated = self.mode == "min" and self.better == "higher"
        return negate_score(self.goals) if negated else self.goals

    def apply(self, replica: Replica) -> None:
        if not replica.empty:
            raise CorruptLog("a run must be opened once, but this opens it again")
        if not self.births:
            raise CorruptLog("a run must have a member, but this opens one without births")
        space = check_space(self.space)
        for id_, birth in enumerate(self.births):
            check_hparams(space, birth.hparams, id_)
        members = tuple(
            Member(
                id=id_,
                hparams=birth.hparams,
                group=birth.group,
                ranked=birth.ranked,
                data=birth.data,
                turn=int(birth.rests),
                trained=min(self.turn_steps, self.steps) if birth.rests else 0,
            )
            for id_, birth in enumerate(self.births)
        )
        check_goals(self.goals)
        arrived = sum(birth.rests for birth in self.births)
        replica.become(
            Population(
                space=space,
                steps=self.steps,
                members=members,
                arrived=arrived,
                ties=self.ties,
                better=self.better,
                remember=self.remember,
                goals=self.goals_of_scores,
            )
        )


def find_replayed(opening: RunOpened) -> str | None:
    """Return the name of the run that this one is a replay of; None if it is no replay."""
    if opening.strategy.get("type") != "Replay":
        return None
    of = opening.strategy.get("of")
    return of if isinstance(of, str) else None


def is_replay(opening: RunOpened, *, began: float, of: RunOpened, of_began: float) -> bool:
    """Say whether a run is a replay of another in its store.

    A replay that is older than the other run repeats one of the same name that was deleted, renamed
    or overwritten.

    Args:
        opening: The first event of the run.
        began: When it was written.
        of: The first event of the other run.
        of_began: When that was written.
    """
    same = opening.name == of.name
    return not same and find_replayed(opening) == of.name and began >= of_began


def _update(value: Any) -> Any:
    """Update strategies within a strategy; with "ready", they have ``evaluate_every`` as well."""
    if isinstance(value, list):
        return [_update(each) for each in value]
    if not isinstance(value, dict):
        return value
    data = {name: _update(each) for name, each in value.items()}
    older = "ready" in data and "evaluate_every" in data and "turn_steps" not in data
    return _with_newer(_with_turn_steps(data) if older else data)


def _with_newer(data: dict[str, Any]) -> dict[str, Any]:
    """Add the settings that there were not then, as what was then done."""
    kind = data.get("type")
    return {**NEWER.get(kind, {}), **data} if isinstance(kind, str) else data


def _with_turn_steps(data: dict[str, Any]) -> dict[str, Any]:
    return {"turn_steps" if name == "ready" else name: value for name, value in data.items()}

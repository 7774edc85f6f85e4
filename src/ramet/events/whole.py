"""Events of the run as a whole: its budget and target, that it stops, and its conditions."""

import msgspec

from ramet.errors import CorruptLog
from ramet.events.base import Event
from ramet.laws import Count, Positive
from ramet.replica import Replica


class Extended(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The budget of each member was extended."""

    # The new budget.
    steps: Positive

    def apply(self, replica: Replica) -> None:
        before = replica.steps
        if self.steps < before:
            raise CorruptLog(f"the budget of {before} steps must grow, but becomes {self.steps}")
        replica.steps = self.steps


class TargetSet(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """From now on the run ends once a turn ends with this score or a better one."""

    # In the sign of the log's scores, which are maximised; None sets no target.
    target: float | None

    def apply(self, replica: Replica) -> None:
        replica.target = self.target


class StopAsked(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A member's loop asked for the run to stop. It stops at the end of the round."""

    # The id of the member.
    member: Count
    # The number of its turn, counted from 0.
    turn: Count

    def apply(self, replica: Replica) -> None:
        replica.member(self.member)
        replica.stop_asked = True


class Stopped(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The run stopped. Workers end the turns that they are training, and begin no others."""

    # "asked" from outside the run, by a member's "loop", or because the "target" was reached.
    why: str = "asked"

    def apply(self, replica: Replica) -> None:
        replica.stopped, replica.why_stopped, replica.stop_asked = True, self.why, False


class Resumed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A stopped run goes on."""

    def apply(self, replica: Replica) -> None:
        replica.stopped, replica.why_stopped = False, None


class Mapped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many members are mapped at once."""

    # Members in one program.
    chunk: Positive
    # The number of members for which this was measured to be fastest; None if it was asked for.
    of: Positive | None = None
    # Whether the mapped steps are compiled; None if that is not decided yet.
    compiled: bool | None = None


class Conditions(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """What sums of floats depend on besides the settings. A resumed run keeps to it.

    Each condition is recorded once, when it is first known. None is what this event does not set.
    """

    # Threads that numerical libraries start in each process.
    threads: Positive | None = None
    # How members are mapped.
    mapped: Mapped | None = None

    def apply(self, replica: Replica) -> None:
        if replica.threads is None:
            replica.threads = self.threads
        if self.mapped is not None and self.mapped not in replica.mapped:
            replica.mapped = (*replica.mapped, self.mapped)

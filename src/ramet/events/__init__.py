"""What can happen in a run, and ``fold(events) -> Population``.

A run *is* its log of events; everything else is computed from it. An event carries results, never
instructions to compute them again, so every reader gets the same population, at any time.
"""

from ramet.events.base import SCHEMA, Event
from ramet.events.codec import (
    MOST_BYTES,
    MOST_DEPTH,
    decode,
    encode,
    rename_opening,
    rename_replayed,
)
from ramet.events.confirming import Confirmed, Confirming
from ramet.events.decisions import Annotated, Copied, Explored, RoundEnded, Weights
from ramet.events.log import AnyEvent, Arrival, Logged, canonical, fold, follow
from ramet.events.opening import Birth, Keep, Mode, RunOpened
from ramet.events.turns import (
    AttemptFailed,
    CheckpointLost,
    LeftUnread,
    Rested,
    TurnEnded,
    TurnLost,
)
from ramet.events.whole import (
    Conditions,
    Extended,
    Mapped,
    Resumed,
    StopAsked,
    Stopped,
    TargetSet,
)
from ramet.replica import Applicable

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "SCHEMA",
    "Annotated",
    "AnyEvent",
    "Applicable",
    "Arrival",
    "AttemptFailed",
    "Birth",
    "CheckpointLost",
    "Conditions",
    "Confirmed",
    "Confirming",
    "Copied",
    "Event",
    "Explored",
    "Extended",
    "Keep",
    "LeftUnread",
    "Logged",
    "Mapped",
    "Mode",
    "Rested",
    "Resumed",
    "RoundEnded",
    "RunOpened",
    "StopAsked",
    "Stopped",
    "TargetSet",
    "TurnEnded",
    "TurnLost",
    "Weights",
    "canonical",
    "decode",
    "encode",
    "fold",
    "follow",
    "rename_opening",
    "rename_replayed",
]

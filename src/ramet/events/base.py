"""What all events have in common."""

import msgspec

from ramet.replica import Replica

# The version of the format. It is raised when an event loses or redefines a field, or gains one
# without a default.
SCHEMA = 1


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", gc=False):
    """Something that happened. ``v`` is the schema it was written by."""

    v: int = SCHEMA

    def check(self, replica: Replica) -> None:
        """Refuse an event that cannot come next in a log.

        Only readers call this. A worker may write about a turn that others gave up; then its store
        refuses the event.
        """

    def apply(self, replica: Replica) -> None:
        """Make the changes to a replica that the event stands for."""
        raise NotImplementedError

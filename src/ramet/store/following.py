"""Replays say which run they repeat, also after it was renamed."""

from msgspec.structs import replace

from ramet.events import RunOpened, rename_replayed
from ramet.events.opening import is_replay


def follow_rename(
    data: bytes, opening: RunOpened, *, began: float, of: RunOpened, of_began: float, to: str
) -> bytes | None:
    """Return the first event of a run after a run was renamed; None if it stays as it is.

    A replay of that run repeats one of its new name. A replay of an earlier run of the new name
    repeats none: it would be taken for a replay of the renamed run.

    Args:
        data: The event, encoded.
        opening: The event.
        began: When it was written.
        of: The first event of the run that is renamed, with its old name.
        of_began: When that was written.
        to: The new name.
    """
    if is_replay(opening, began=began, of=of, of_began=of_began):
        return rename_replayed(data, to)
    if is_replay(opening, began=began, of=replace(of, name=to), of_began=of_began):
        return rename_replayed(data, None)
    return None

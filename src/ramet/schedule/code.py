"""A schedule as Python code, to paste into a script."""

from collections.abc import Sequence

from ramet.schedule.pieces import Piece, Source
from ramet.visible import MAX_LABEL_CHARS, cut


def python_of(pieces: Sequence[Piece], source: Source | None) -> str:
    """Return the code of a function of the step, which imports nothing."""
    lines = "".join(f"        ({piece.stop}, {piece.hparams!r}),\n" for piece in pieces)
    return (
        "def schedule(step):\n"
        f'    """Return the hyperparameters of update `step`, counted from 0.{_of(source)}"""\n'
        "    pieces = [  # each up to, not including, its first number\n"
        f"{lines}"
        "    ]\n"
        "    for stop, hparams in pieces:\n"
        "        if step < stop:\n"
        "            break\n"
        "    return dict(hparams)\n"
    )


def _of(source: Source | None) -> str:
    if source is None:
        return ""
    # No name of a run can end the docstring.
    run = repr(cut(source.run, MAX_LABEL_CHARS)).replace('"', "'").replace("\\", "/")
    score = "" if source.score is None else f", which scored {source.score:.6g}"
    text = f"\n\n    Of run {run} with seed {source.seed}{score}.\n    "
    if source.renewed:
        # A function of the step cannot do it.
        steps = ", ".join(map(str, source.renewed))
        text += (
            f"\n    Its weights were renewed before update {steps}: your script must do that.\n    "
        )
    return text

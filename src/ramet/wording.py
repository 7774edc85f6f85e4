"""Write numbers and names for people, on terminals and pages."""

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ramet.visible import label

# The ratio of a unit to the next smaller one.
KILO = 1_000
# A mean below this, with a spread from 1e-7 to 1e5, is written without an exponent: the second
# digit of such a spread has this many decimals.
LARGEST_MEAN, SPREAD_DECIMALS = 1e9, range(-3, 9)
MINUTE_S, HOUR_S = 60, 3600


def is_text(value: str) -> bool:
    r"""Say whether a text can be written to files and logs: whether it has no lone surrogate.

    >>> is_text("naïve"), is_text("\ud83d")
    (True, False)
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str, encoding: str) -> str:
    r"""Return a text with escapes for the characters that an encoding lacks.

    >>> encodable("naïve", "ascii")
    'na\\xefve'
    """
    return text.encode(encoding, "backslashreplace").decode(encoding)


def count(number: int, thing: str) -> str:
    """Write a count with its unit.

    >>> count(1, "worker"), count(2_000, "copy")
    ('1 worker', '2,000 copies')
    """
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing[:-1] + 'ies' if thing.endswith('y') else thing + 's'}"


def number(value: float | None) -> str:
    """Write a score, with six significant digits."""
    return "-" if value is None else f"{value:.6g}"


def mean_and_spread(mean: float, spread: float) -> str:
    """Write a mean, and its spread with two significant digits, or all of its whole digits.

    Both have the same decimals. If no spread is known, which is NaN, only the mean is written.

    >>> mean_and_spread(0.279343, 0.0095), mean_and_spread(1234.5, 230.0)
    ('0.2793 ± 0.0095', '1234 ± 230')
    >>> mean_and_spread(375.224, 0.0), mean_and_spread(0.25, math.nan)
    ('375.224 ± 0', '0.25')
    """
    if math.isnan(spread):
        return number(mean)
    if abs(mean) < LARGEST_MEAN and 0 < spread < math.inf:
        # As it is rounded to two digits.
        decimals = 1 - int(f"{spread:.1e}".partition("e")[2])
        if decimals in SPREAD_DECIMALS:
            places = max(decimals, 0)
            return f"{mean:z.{places}f} ± {spread:.{places}f}"
    return f"{number(mean)} ± {spread:.2g}"


def value(hparam: Any) -> str:
    """Write the value of a hyperparameter."""
    return f"{hparam:.4g}" if isinstance(hparam, float) else label(str(hparam))


def value_of(hparams: Mapping[str, Any], name: str) -> str:
    """Write the value of a hyperparameter by its name; a dash if it is not there.

    >>> value_of({"lr": 0.1}, "lr"), value_of({"lr": 0.1}, "momentum")
    ('0.1', '-')
    """
    return value(hparams[name]) if name in hparams else "-"


def command(
    verb: str, named: Sequence[str], options: Sequence[str] = (), arguments: Sequence[str] = ()
) -> str:
    """Write a command of ours, quoted for a shell, so that it works when it is pasted.

    >>> command("log", ["my runs.db", "climb"], ["--failures"])
    "ramet log 'my runs.db' climb --failures"
    >>> command("worker", ["runs.db", "-climb", "climb.py"], ["--grace", "9"], ["--hidden", "64"])
    'ramet worker --grace 9 -- runs.db -climb climb.py --hidden 64'

    Args:
        verb: The name of the command.
        named: Its arguments: the store, the run, and what follows them.
        options: Its options, with their values.
        arguments: What the script that it trains gets as its own arguments.
    """
    words = ["ramet", verb, *command_words(named, options, arguments)]
    return " ".join(map(shell_word, words))


def command_words(
    named: Sequence[str], options: Sequence[str] = (), arguments: Sequence[str] = ()
) -> list[str]:
    """Return the words behind the name of a command, in an order in which it reads them.

    Args:
        named: As for ``command``.
        options: As for ``command``.
        arguments: As for ``command``.
    """
    if any(word.startswith("-") for word in named):
        # Without this, a name that begins with a dash would be read as an option.
        return [*options, "--", *named, *arguments]
    return [*named, *options, *(["--", *arguments] if arguments else [])]


def shell_word(word: str) -> str:
    r"""Quote a word for a shell, as printable text.

    Characters that cannot be printed are written as bash, zsh and other shells read them, but not
    fish.

    >>> print(shell_word("climb"), shell_word("it's"), shell_word("two\nlines"))
    climb 'it'"'"'s' $'two\x0alines'
    >>> print(shell_word("=climb"), shell_word(r"my \climb"))
    '=climb' 'my '\\climb
    """
    if not word.isprintable():
        return f"$'{''.join(map(_escape_for_shell, word))}'"
    # Backslashes stand outside of quotes, where all shells read two as one: fish does so in them.
    pieces = word.split("\\")
    return "\\\\".join(_quote(it) if it or len(pieces) == 1 else it for it in pieces)


def _quote(word: str) -> str:
    """Quote a word without backslashes for a shell."""
    # At the beginning of a word, zsh replaces = and fish %.
    is_bare = word.startswith(("=", "%")) and shlex.quote(word) == word
    return f"'{word}'" if is_bare else shlex.quote(word)


def _escape_for_shell(char: str) -> str:
    r"""Return a character as it is written between ``$'`` and ``'``."""
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    # Paths may have bytes that are no text, which Python keeps as lone surrogates.
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))


def size(bytes_: int) -> str:
    """Write a number of bytes.

    >>> size(0), size(1_300), size(2_500_000_000)
    ('0 bytes', '1.3 kB', '2.5 GB')
    """
    if bytes_ < KILO:
        return count(bytes_, "byte")
    amount = float(bytes_)
    for unit in ("kB", "MB", "GB"):
        amount /= KILO
        if amount < KILO:
            return f"{amount:.1f} {unit}"
    return f"{amount / KILO:.1f} TB"


def duration(seconds: float) -> str:
    """Write a duration.

    >>> duration(0.0123), duration(7.25), duration(119.7), duration(7300)
    ('12 ms', '7.2 s', '2 min 0 s', '2 h 1 min')
    """
    if round(1_000 * seconds) < KILO:
        return f"{1_000 * seconds:.0f} ms"
    if round(seconds, 1) < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S:,} h {whole % HOUR_S // MINUTE_S} min"


def clock_time(seconds: float) -> str:
    """Return a time as a clock shows it.

    >>> clock_time(75.2), clock_time(3725)
    ('1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

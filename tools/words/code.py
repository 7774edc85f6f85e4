"""Rules about code: names of functions, and the size of functions and files."""

from collections.abc import Sequence

from tools.words.source import Function, Place, Source, decorators, definitions

LONGEST_FUNCTION = 60
LONGEST_FILE = 350

IRREGULAR = frozenset(
    """
    beaten been begun bent bitten blown born bought bound broken brought built caught chosen clung
    dealt done drawn driven eaten fallen fed felt fled forbidden forgotten fought found
    frozen given gone got gotten ground grown heard held hidden hung kept known laid lain led left
    lent lit lost made meant met mistaken paid proven ridden risen said sat seen sent shaken shot
    shown slept slid sold sought spent spoken spun stolen stood struck stuck sung sunk sworn swept
    swum swung taken taught thought thrown told torn understood withdrawn woken won worn wound woven
    written
    """.split()  # noqa: SIM905 - words read best as text
)
PREFIXES = ("", "un", "re", "over", "under", "out", "pre", "mis")
# Verbs and nouns that end as a participle does.
NOT_PARTICIPLES = frozenset(
    "bleed breed embed exceed feed heed need proceed seed shed speed succeed weed".split()  # noqa: SIM905 - as above
)


def is_participle(name: str) -> bool:
    """Say whether a function's name begins with a participle; Python's own names do not count.

    >>> is_participle("_taken_back"), is_participle("is_taken"), is_participle("__reversed__")
    (True, False, False)
    """
    if name.startswith("__"):
        return False
    word = name.strip("_").split("_")[0].lower()
    if any(word.removeprefix(prefix) in NOT_PARTICIPLES for prefix in PREFIXES):
        return False
    irregular = any(prefix + verb == word for prefix in PREFIXES for verb in IRREGULAR)
    return irregular or (word.endswith("ed") and len(word) > len("red"))


def find_participles(sources: Sequence[Source]) -> list[Place]:
    """Find functions and methods that are named by a participle, each once if overloaded."""
    found: dict[tuple[str, str], Place] = {}
    for source in sources:
        for name, node in definitions(source.tree) if source.is_python else ():
            if not isinstance(node, Function) or node.name.startswith("test"):
                continue
            if decorators(node) & {"property", "cached_property", "setter"}:
                continue
            if is_participle(node.name):
                found.setdefault((source.path, name), Place(source.path, node.lineno, name))
    return list(found.values())


def find_long_functions(sources: Sequence[Source]) -> list[Place]:
    return [
        Place(source.path, node.lineno, f"{name} has {length} lines")
        for source in sources
        if source.is_python
        for name, node in definitions(source.tree)
        if isinstance(node, Function)
        for length in [(node.end_lineno or node.lineno) - node.lineno + 1]
        if length > LONGEST_FUNCTION
    ]


def find_long_files(sources: Sequence[Source]) -> list[Place]:
    return [
        Place(source.path, 1, f"{len(source.lines)} lines")
        for source in sources
        if not source.is_page and len(source.lines) > LONGEST_FILE
    ]

"""Rules about documentation: of public objects, and of their arguments and fields."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tools.words.exports import Public, find_public
from tools.words.source import Function, Place, Source, decorators

SECTION = re.compile(r"^ *(?:Args|Attributes):\n((?:(?: +.*)?\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^ *((?:\*{0,2}\w+(?:, )?)+)(?: \([^)]*\))?:", re.MULTILINE)
# What a type is commonly called by, where that is not its own name.
COMMON_NAMES = {"rng": "generator"}

Methods = Mapping[str, Function]


class Documented(NamedTuple):
    """A public object, whether it has a docstring, and its arguments that are not documented."""

    place: Place
    has_docstring: bool
    undocumented: tuple[str, ...]


def find_missing_docstrings(sources: Sequence[Source]) -> list[Place]:
    return [each.place for each in examine(sources) if not each.has_docstring]


def find_missing_arguments(sources: Sequence[Source]) -> list[Place]:
    return [
        each.place._replace(what=f"{each.place.what}: {', '.join(each.undocumented)}")
        for each in examine(sources)
        if each.undocumented
    ]


def examine(sources: Sequence[Source]) -> Iterator[Documented]:
    """Look at each public object, and at the public methods of public classes."""
    public = find_public(sources)
    protocols = [
        (attributes(each.node), methods(each.node))
        for each in public
        if isinstance(each.node, ast.ClassDef) and is_protocol(each.node)
    ]
    for each in public:
        place = Place(each.source.path, each.node.lineno, each.name)
        if isinstance(each.node, Function):
            missing = undocumented(arguments(each.node), ast.get_docstring(each.node))
            yield Documented(place, bool(ast.get_docstring(each.node)), missing)
        elif isinstance(each.node, ast.ClassDef):
            yield from _examine_class(each, each.node, place, protocols)
        else:
            yield Documented(place, _has_comment(each.source, each.node), ())


def _examine_class(
    public: Public, node: ast.ClassDef, place: Place, protocols: Sequence[tuple[set[str], Methods]]
) -> Iterator[Documented]:
    docstring = ast.get_docstring(node)
    own = methods(node)
    init = next((each for each in node.body if _is_function(each, "__init__")), None)
    texts = [docstring, ast.get_docstring(init) if isinstance(init, Function) else None]
    taken = arguments(init)[1:] if isinstance(init, Function) else []
    missing = undocumented([*_bare_fields(public.source, node), *taken], *texts)
    yield Documented(place, bool(docstring), tuple(dict.fromkeys(missing)))
    has = attributes(node)
    theirs = [their for names, their in protocols if names <= has and not is_protocol(node)]
    for name, method in own.items():
        promised = [each[name] for each in theirs if name in each]
        known = {argument.arg for each in promised for argument in arguments(each)}
        text = ast.get_docstring(method)
        first = 0 if "staticmethod" in decorators(method) else 1
        rest = [argument for argument in arguments(method)[first:] if argument.arg not in known]
        yield Documented(
            Place(place.path, method.lineno, f"{public.name}.{name}"),
            bool(text) or bool(promised),
            undocumented(rest, text),
        )


def methods(node: ast.ClassDef) -> Methods:
    """Return a class's public methods and properties; of overloads, the last."""
    return {
        each.name: each
        for each in node.body
        if isinstance(each, Function)
        if not each.name.startswith("_") and not decorators(each) & {"overload", "setter"}
    }


def attributes(node: ast.ClassDef) -> set[str]:
    """Return the names of a class's public methods, properties and fields."""
    fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
    names = (target.id for target in fields if isinstance(target, ast.Name))
    return {*methods(node), *(name for name in names if not name.startswith("_"))}


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split("[")[0].endswith("Protocol") for base in node.bases)


def arguments(node: Function) -> list[ast.arg]:
    rest = (node.args.vararg, node.args.kwarg)
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [*named, *(argument for argument in rest if argument is not None)]


def undocumented(given: Sequence[ast.arg], *docstrings: str | None) -> tuple[str, ...]:
    """Return the names of arguments that no docstring is about, and that do not say themselves."""
    known = {name for text in docstrings if text for name in names_in(text)}
    return tuple(
        argument.arg
        for argument in given
        if argument.arg not in known and not argument.arg.startswith("_")
        if not says_itself(argument.arg, argument.annotation)
    )


def names_in(docstring: str) -> set[str]:
    """Return what a docstring documents: entries of its sections, and names in backticks.

    >>> sorted(names_in("Add ``left``.\\n\\nArgs:\\n    right: What is added.\\n"))
    ['left', 'right']
    """
    sections = "\n".join(SECTION.findall(docstring + "\n"))
    entries = [name for found in ENTRY.findall(sections) for name in re.findall(r"\w+", found)]
    quoted = re.findall(r"`+([^`]+)`+", docstring)
    return {*entries, *(name for text in quoted for name in re.findall(r"\w+", text))}


def says_itself(name: str, annotation: ast.expr | None) -> bool:
    """Say whether a type names the argument: ``space: Space``, ``members: Sequence[Member]``."""
    plain = COMMON_NAMES.get(name, name.replace("_", ""))
    types = re.findall(r"\w+", ast.unparse(annotation).lower()) if annotation else []
    return any(plain in {word, word + "s"} for word in types)


def _bare_fields(source: Source, node: ast.ClassDef) -> Iterator[ast.arg]:
    """Yield a class's public fields that have no comment of their own and no string below."""
    for index, each in enumerate(node.body):
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        behind = node.body[index + 1] if index + 1 < len(node.body) else None
        string = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
        inner = {"ClassVar", "KW_ONLY"} & set(re.findall(r"\w+", ast.unparse(each.annotation)))
        if not inner and not string and not _has_comment(source, each):
            yield ast.arg(each.target.id, each.annotation)


def _has_comment(source: Source, node: ast.stmt) -> bool:
    above = source.lines[node.lineno - 2].strip() if node.lineno > 1 else ""
    lines = source.lines[node.lineno - 1 : node.end_lineno]
    return above.startswith("#") or any(re.search(r"  # (?!noqa|type:)", line) for line in lines)


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, Function) and node.name == name

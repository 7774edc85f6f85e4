"""The rule about imports: no file imports, by whatever way, one that imports it."""

import ast
from collections.abc import Iterator, Mapping, Sequence

from tools.words.source import Place, Source


def imports(source: Source, modules: Mapping[str, Source]) -> Iterator[str]:
    """Yield the modules that a file imports anywhere in it, of those given."""
    package = source.module.split(".")
    if not source.path.endswith("__init__.py"):
        package = package[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in modules else base for name in submodules]
        else:
            continue
        yield from (name for name in names if name in modules)


def find_circles(sources: Sequence[Source]) -> list[Place]:
    """Find groups of files that reach each other by imports; name a shortest circle of each."""
    modules = {source.module: source for source in sources if source.is_python}
    graph = {name: sorted(set(imports(modules[name], modules)) - {name}) for name in modules}
    reached = {name: set(_reach(graph, name)) for name in graph}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    places = []
    for group in sorted(groups, key=min):
        circle = min((_shortest(graph, name) for name in sorted(group)), key=len)
        what = f"{' -> '.join(circle)} ({len(group)} files in all)"
        places.append(Place(modules[circle[0]].path, 1, what))
    return places


def _reach(graph: Mapping[str, Sequence[str]], start: str) -> Iterator[str]:
    """Yield what can be reached in a step or more; ``start`` only if it is on a circle."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            yield name
            ahead += graph[name]


def _shortest(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return a shortest way from a module on a circle back to it."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in graph[way[-1]]:
            if name == start:
                return [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    raise ValueError(f"{start} is on no circle")

"""What is public: the definitions that modules list in ``__all__``, or export under an alias."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tools.words.source import Definition, Source

Value: TypeAlias = ast.Assign | ast.AnnAssign


class Public(NamedTuple):
    """An exported name, and where it is written."""

    name: str
    source: Source
    node: Definition | Value


def find_public(sources: Sequence[Source]) -> list[Public]:
    """Find what is public, each definition once, under the shortest of its names."""
    modules = {source.module: source for source in sources if source.is_python}
    found: dict[tuple[str, int], Public] = {}
    for module in sorted(modules, key=lambda module: (module.count("."), module)):
        package = modules[module].path.endswith("__init__.py")
        for name in _exports(modules[module].tree, package=package):
            public = _resolve(modules, module, name, f"{module}.{name}")
            if public is not None:
                found.setdefault((public.source.path, public.node.lineno), public)
    return list(found.values())


def _exports(tree: ast.Module, *, package: bool) -> list[str]:
    """Return the names in ``__all__``, of ``import x as x`` and, in a package, of ``x = y``."""
    names = []
    for statement in _statements(tree.body):
        if isinstance(statement, ast.ImportFrom):
            names += [alias.name for alias in statement.names if alias.asname == alias.name]
        elif isinstance(statement, Value):
            if "__all__" in _targets(statement):
                constants = ast.walk(statement.value) if statement.value else ()
                names += [str(node.value) for node in constants if isinstance(node, ast.Constant)]
            elif package and isinstance(statement.value, ast.Name):
                names += [name for name in _targets(statement) if not name.startswith("_")]
    return names


def _resolve(modules: Mapping[str, Source], module: str, name: str, public: str) -> Public | None:
    """Follow a name through imports to its definition; None if that is elsewhere, or a module."""
    for statement in _statements(modules[module].tree.body if module in modules else []):
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if f"{statement.module}.{alias.name}" in modules and alias.name == name:
                    return None
                if (alias.asname or alias.name) == name:
                    return _resolve(modules, statement.module or "", alias.name, public)
        elif isinstance(statement, Definition) and statement.name == name:
            if "overload" not in {ast.unparse(each) for each in statement.decorator_list}:
                return Public(public, modules[module], statement)
        elif isinstance(statement, Value) and name in _targets(statement):
            if isinstance(statement.value, ast.Name):
                aliased = _resolve(modules, module, statement.value.id, public)
                return aliased or Public(public, modules[module], statement)
            return Public(public, modules[module], statement)
    return None


def _targets(statement: Value) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under its "if" and "try" included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements([*statement.body, *statement.orelse])

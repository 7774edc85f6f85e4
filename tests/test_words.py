import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tools.words.__main__ import RULES, main
from tools.words.source import Source

INIT = ("src/ramet/__init__.py", 'from ramet.a import thing\n__all__ = ["thing"]\n')

FUNCTION_OF_60_LINES = "def grow():\n" + "    pass\n" * 59

# A rule, files that keep it, and files that break it once.
CASES = {
    "a word": ("told", [("src/ramet/a.py", "toldest = 1\n")], [("src/ramet/a.py", "# As told.\n")]),
    "a word in a page": ("nobody", [("README.md", "No one.\n")], [("README.md", "Nobody.\n")]),
    "a phrase, over two lines of a comment": (
        "so many",
        [("src/ramet/a.py", "# So,\n# many.\n")],
        [("src/ramet/a.py", "# There are so\n# many.\n")],
    ),
    "a word in a docstring, public or not": (
        "words",
        [("src/ramet/a.py", 'def _f():\n    """Say whose it is."""\n\n\n# whose\n')],
        [("src/ramet/a.py", 'def f():\n    """Say whose it is."""\n')],
    ),
    "a word in the docstring of a private module": (
        "words",
        [("src/ramet/_a.py", '"""Whose it is."""\n')],
        [("src/ramet/a.py", '"""Whose it is."""\n')],
    ),
    "a word in any page": (
        "words",
        [("docs/a.md", "It has the word.\n")],
        [("docs/a.md", "It is\nhanded on.\n")],
    ),
    "an irregular participle": (
        "participles",
        [("src/ramet/a.py", "def begin(): ...\ndef put_back(): ...\ndef is_taken(): ...\n")],
        [("src/ramet/a.py", "def begun(): ...\n")],
    ),
    "a regular participle, of a private method": (
        "participles",
        [("src/ramet/a.py", "class A:\n    def seed(self): ...\n    def read_shared(self): ...\n")],
        [("src/ramet/a.py", "class A:\n    def _shared(self): ...\n")],
    ),
    "a property may be a participle": (
        "participles",
        [("src/ramet/a.py", "class A:\n    @property\n    def lost(self): ...\n")],
        [("src/ramet/a.py", "class A:\n    @final\n    def lost(self): ...\n")],
    ),
    "a public function's docstring": (
        "docstrings",
        [INIT, ("src/ramet/a.py", 'def thing():\n    """Do."""\n\n\ndef other(): ...\n')],
        [INIT, ("src/ramet/a.py", "def thing(): ...\n")],
    ),
    "a public value's comment": (
        "docstrings",
        [INIT, ("src/ramet/a.py", "# Of what.\nthing = 1\n")],
        [INIT, ("src/ramet/a.py", "thing = 1\n")],
    ),
    "a public method's docstring": (
        "docstrings",
        [INIT, ("src/ramet/a.py", 'class thing:\n    """A."""\n\n    def _go(self): ...\n')],
        [INIT, ("src/ramet/a.py", 'class thing:\n    """A."""\n\n    def go(self): ...\n')],
    ),
    "an argument": (
        "arguments",
        [INIT, ("src/ramet/a.py", 'def thing(left):\n    """Double ``left``."""\n')],
        [INIT, ("src/ramet/a.py", 'def thing(left):\n    """Double what is left."""\n')],
    ),
    "an argument in a section": (
        "arguments",
        [
            INIT,
            ("src/ramet/a.py", 'def thing(n):\n    """Do.\n\n    Args:\n        n: Of.\n    """\n'),
        ],
        [
            INIT,
            (
                "src/ramet/a.py",
                'def thing(n):\n    """Do.\n\n    Args:\n        m: Of n.\n    """\n',
            ),
        ],
    ),
    "an argument that is named as its type": (
        "arguments",
        [
            INIT,
            ("src/ramet/a.py", "def thing(members: list[Member], rng: np.random.Generator): ...\n"),
        ],
        [INIT, ("src/ramet/a.py", "def thing(donor: Member): ...\n")],
    ),
    "an argument of a constructor": (
        "arguments",
        [
            INIT,
            (
                "src/ramet/a.py",
                'class thing:\n    """Of ``n``."""\n\n    def __init__(self, n): ...\n',
            ),
        ],
        [
            INIT,
            (
                "src/ramet/a.py",
                'class thing:\n    """Of one."""\n\n    def __init__(self, n): ...\n',
            ),
        ],
    ),
    "a field": (
        "arguments",
        [INIT, ("src/ramet/a.py", "class thing:\n    # In all.\n    n: int\n    _m: int\n")],
        [INIT, ("src/ramet/a.py", "class thing:\n    # In all.\n    _m: int\n    n: int\n")],
    ),
    "a long line": ("lines", [("docs/a.md", "a " * 70)], [("docs/a.md", "a " * 71)]),
    "a long line of a table or of code": (
        "lines",
        [("docs/a.md", f"|{'a ' * 99}|\n\n```\n{'a ' * 99}\n```\n")],
        [("docs/a.md", f"```\n```\n{'a ' * 99}\n")],
    ),
    "a long function": (
        "functions",
        [("src/ramet/a.py", "@cache\n" + FUNCTION_OF_60_LINES)],
        [("src/ramet/a.py", FUNCTION_OF_60_LINES + "    pass\n")],
    ),
    "a long file": ("files", [("src/a.py", "a\n" * 350)], [("src/a.py", "a\n" * 351)]),
    "a circle": (
        "circles",
        [("src/a.py", "import b\n"), ("src/b.py", "import c\n"), ("src/c.py", "")],
        [("src/a.py", "import b\n"), ("src/b.py", "import c\n"), ("src/c.py", "import a\n")],
    ),
    "a circle by an import in a function": (
        "circles",
        [("src/a/b.py", "import a.c\n"), ("src/a/c.py", "def f():\n    from a import d\n")],
        [("src/a/b.py", "import a.c\n"), ("src/a/c.py", "def f():\n    from a import b\n")],
    ),
    "a circle by an import for types": (
        "circles",
        [
            ("src/a/b.py", "from a.c import x\n"),
            ("src/a/c.py", "if TYPE_CHECKING:\n    import b\n"),
        ],
        [
            ("src/a/b.py", "from a.c import x\n"),
            ("src/a/c.py", "if TYPE_CHECKING:\n    from .b import y\n"),
        ],
    ),
}


def find(rule: str, files: list[tuple[str, str]]) -> list[str]:
    return [str(place) for place in RULES[rule].find([Source(*file) for file in files])]


@pytest.mark.parametrize(("rule", "keeps", "breaks"), CASES.values(), ids=CASES)
def test_each_rule_finds_what_breaks_it_and_nothing_else(
    rule: str, keeps: list[tuple[str, str]], breaks: list[tuple[str, str]]
) -> None:
    assert find(rule, keeps) == []
    assert len(find(rule, breaks)) == 1


def test_every_rule_has_a_case() -> None:
    words = set(RULES) - {rule for rule, _, _ in CASES.values()}
    assert words <= {"whose", "somebody", "handed", "is to be had"}


def test_a_method_is_documented_by_the_public_protocol_that_its_class_keeps() -> None:
    module = '''
        class Rule(Protocol):
            """A rule."""

            def move(self, value):
                """Move ``value``."""


        class Double:
            """Twice."""

            def move(self, value): ...
    '''
    init = "from ramet.a import Double, Rule\n__all__ = [{}]\n"
    module = ("src/ramet/a.py", dedent(module))
    both = [("src/ramet/__init__.py", init.format('"Double", "Rule"')), module]
    alone = [("src/ramet/__init__.py", init.format('"Double"')), module]
    assert find("docstrings", both) + find("arguments", both) == []
    assert find("docstrings", alone) == ["src/ramet/a.py:12: ramet.Double.move"]
    assert find("arguments", alone) == ["src/ramet/a.py:12: ramet.Double.move: value"]


def test_an_export_is_followed_through_packages_and_aliases_and_counted_once() -> None:
    files = [
        ("src/ramet/__init__.py", "from ramet.room import open as open\n"),
        (
            "src/ramet/room/__init__.py",
            "from ramet.room.a import f\n\nopen = f\n",
        ),
        ("src/ramet/room/a.py", "def f(): ...\n"),
    ]
    assert find("docstrings", files) == ["src/ramet/room/a.py:1: ramet.open"]


def test_a_package_may_export_its_own_modules() -> None:
    files = [
        ("src/ramet/__init__.py", "from ramet import room as room\n"),
        ("src/ramet/room/__init__.py", "__all__ = ['f']\n\ndef f(): ...\n"),
    ]
    assert find("docstrings", files) == ["src/ramet/room/__init__.py:3: ramet.room.f"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md"):
        (tmp_path / name).write_text("Read.\n")
    for folder in ("docs", "src"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_within_its_limits_a_repository_passes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(root)]) == 0
    assert "above" not in capsys.readouterr().out


def test_above_a_limit_it_fails_and_the_places_are_listed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "src/a.py").write_text("# told\n" * 11)
    assert main(["--root", str(root), "--list", "told"]) == 1
    assert capsys.readouterr().out.splitlines()[10] == "src/a.py:11: # told"


def test_programs_get_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "README.md").write_text("As told.\n")
    assert main(["--root", str(root), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    place = {"path": "README.md", "line": 1, "what": "As told."}
    assert found["told"] == {"count": 1, "limit": 10, "places": [place]}
    assert found["words"]["count"] == 1


@pytest.mark.parametrize("options", [("--json",), ("--list", "told"), ()])
def test_a_reader_that_has_enough_ends_it_quietly(root: Path, options: tuple[str, ...]) -> None:
    (root / "src/a.py").write_text("# told\n" * 20_000)
    command = [sys.executable, "-m", "tools.words", "--root", str(root), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1

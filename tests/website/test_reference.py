"""The reference has every public object, and the commands as their parsers know them."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from ramet import errors
from tests.frameworks import framework
from tools.website.commands import describe_commands
from tools.website.docstrings import fence_examples
from tools.website.hooks import relink, show_picture

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
NAMED = re.compile(r"^::: (\S+)$", re.MULTILINE)
CALLBACKS = ("lightning", "huggingface", "stable_baselines3")


def named() -> set[str]:
    """Return the short names in the reference, with what they are looked up in."""
    pages = (page.read_text() for page in REFERENCE.glob("*.md"))
    return {name for page in pages for name in NAMED.findall(page)}


@pytest.mark.parametrize(
    ("module", "needs"),
    [
        ("ramet", None),
        ("ramet.history", None),
        ("ramet.strategies", None),
        ("ramet.testing", None),
        ("ramet.plots", None),
        ("ramet.report", None),
        ("ramet.torch", "torch"),
        ("ramet.jax", "jax"),
    ],
)
def test_every_public_object_is_in_the_reference(module: str, needs: str | None) -> None:
    if needs:
        framework(needs, needs)
    room = importlib.import_module(module)
    public = {*room.__all__, "open"} if module == "ramet" else set(room.__all__)
    # What a room exports again is described once.
    missing = {
        name
        for name in public
        if not {f"{module}.{name}", f"ramet.{name}", f"ramet.errors.{name}"} & named()
    }
    assert not missing


def test_every_error_is_in_the_reference() -> None:
    ours = {
        f"ramet.errors.{name}"
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert ours <= named()


def test_every_callback_is_in_the_reference() -> None:
    assert {f"ramet.integrations.{library}.Turns" for library in CALLBACKS} <= named()


def test_commands_are_described_with_their_options() -> None:
    described = describe_commands()
    assert "## ramet run\n" in described
    assert "| <code>--seed &lt;int&gt;</code> | The seed of all randomness. |" in described
    assert "## ramet doctor\n" in described


def test_links_to_the_repository_lead_to_pages_of_the_site() -> None:
    text = "[a](../examples/digits.py) [b](../README.md#more) [c](fire.md) [d](../LICENSE)"
    assert relink(text, "docs", "pytorch.md") == (
        "[a](examples/digits.py.md) [b](index.md#more) [c](fire.md) [d](../LICENSE)"
    )
    assert relink("[a](docs/fire.md)", "", "index.md") == "[a](fire.md)"
    assert relink("```\n[a](docs/fire.md)\n```", "", "index.md") == "```\n[a](docs/fire.md)\n```"


def test_the_readmes_picture_has_a_light_and_a_dark_form() -> None:
    readme = (REFERENCE.parents[1] / "README.md").read_text()
    shown = show_picture(readme)
    assert "readme-light.svg#only-light)" in shown
    assert "readme-dark.svg#only-dark)" in shown
    assert "<picture>" not in shown


def test_examples_in_docstrings_are_code() -> None:
    text = "Add.\n\n>>> 1 + 1\n2\n\nMore."
    assert fence_examples(text) == "Add.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."

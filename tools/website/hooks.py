"""Hooks of MkDocs: pages from outside docs/, links to them, and the reference of the commands.

The README is the first page. Whatever a page links to outside of docs/ is a page too, so that the
site is whole without a network and a repository.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from tools.website.commands import describe_commands

ROOT = Path(__file__).parents[2]
# Files at the root, and the pages that they are.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting-vulnerabilities.md",
}
COMMANDS = "<!-- commands -->"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img alt="(?P<alt>[^"]+)" src="(?P<light>[^"]+)">\s*</picture>'
)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".slurm": "bash"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of files outside docs/."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - only while a site is built

    for path in (ROOT / "examples").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            source = path.relative_to(ROOT).as_posix()
            made = File.generated(config, f"{source}.md", content=show_file(path, source))
            files.append(made)
    for source, page in PAGES.items():
        text = show_picture((ROOT / source).read_text())
        files.append(File.generated(config, page, content=relink(text, "", page)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave docs/ at the pages of the site, and write out the commands."""
    del config, files
    source = page.file.src_uri
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, describe_commands())
    if page.file.generated_by:
        return markdown
    return relink(markdown, posixpath.join("docs", posixpath.dirname(source)), source)


def show_file(path: Path, source: str) -> str:
    """Return a page that shows a file of the repository."""
    text = path.read_text()
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {source}\n\n````{language}\n{text}````\n"


def show_picture(text: str) -> str:
    """Return Markdown with a picture for either kind of page, as the theme switches them."""
    return PICTURE.sub(
        r"![\g<alt>](\g<light>#only-light)\n![\g<alt>](\g<dark>#only-dark)",
        text,
    )


def relink(markdown: str, folder: str, page: str) -> str:
    """Return Markdown with its links as they are in the site.

    Args:
        markdown: The page's text.
        folder: The folder in the repository that its links start from.
        page: The page's path in the site.
    """

    def move(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target in PAGES:
            place = PAGES[target]
        elif target.startswith("examples/"):
            place = f"{target}.md"
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        else:
            # MkDocs says that it leads nowhere.
            return link[1]
        return posixpath.relpath(place, posixpath.dirname(page) or ".")

    ends = [0, *(end for block in FENCED.finditer(markdown) for end in block.span())]
    parts = [markdown[a:b] for a, b in zip(ends, [*ends[1:], len(markdown)], strict=True)]
    # Every second part is a fenced block, in which nothing is a link.
    return "".join(part if nth % 2 else LINK.sub(move, part) for nth, part in enumerate(parts))

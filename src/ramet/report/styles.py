"""The styles of a page's pictures, each of which is written once."""

from ramet.report.dark import define_colours, name_colours


class Styles:
    """Styles by their names, which are classes of the page.

    >>> styles = Styles()
    >>> styles.name("fill: none; stroke: #000000")
    's0'
    >>> print(styles.rules())
    :root{--000000:#000000;}
    @media screen and (prefers-color-scheme: dark){:root{--000000:#ffffff;}}
    .s0{fill:none;stroke:var(--000000)}
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, style: str) -> str:
        """Return the class of a style."""
        return self._names.setdefault(style, f"s{len(self._names)}")

    def rules(self) -> str:
        """Return the rules for all styles that were named, with their colours as variables."""
        rules = "\n".join(
            f".{name}{{{name_colours(style.replace(': ', ':').replace('; ', ';'))}}}"
            for style, name in self._names.items()
        )
        return f"{define_colours(rules)}{rules}"

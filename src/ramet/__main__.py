"""``python -m ramet`` is the command ``ramet``."""

from ramet.cli import main

main()

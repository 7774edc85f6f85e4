"""Draw how FIRE works.

    python -m experiments.fire_figures --out docs/figures

Writes fire-mechanisms.svg, who copies what from whom, and fire-curves.svg, how two curves are
compared.
"""

import argparse
from pathlib import Path

from experiments.fire_figures.curves import draw_curves
from experiments.fire_figures.mechanisms import draw_mechanisms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder to draw to")
    options = parser.parse_args()

    draw_mechanisms(options.out / "fire-mechanisms.svg")
    draw_curves(options.out / "fire-curves.svg")
    print(f"drawn to {options.out}")


if __name__ == "__main__":
    main()

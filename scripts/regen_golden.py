"""Write the golden files anew: `python -m scripts.regen_golden`. Read the diff before it is committed."""

from __future__ import annotations

from pathlib import Path

from hfbucket.io.cards import render_card
from tests.io.card_manifest import GOLDEN


def main() -> None:
    """Render every golden card."""
    for path, manifest in GOLDEN.items():
        Path(path).write_text(render_card(manifest), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()

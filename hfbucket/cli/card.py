"""`hfbucket card`: new words for a finished export."""

from __future__ import annotations

import click

from hfbucket.cli.options import WORDS, SettingsCommand, config_options
from hfbucket.cli.output import json_option, show
from hfbucket.config import Config
from hfbucket.io.cards import read_words
from hfbucket.stages.card import update_card


@click.command(cls=SettingsCommand)
@click.argument("export", metavar="EXPORT")
@config_options(*WORDS)
@json_option
def command(export: str, config: Config, as_json: bool) -> None:
    """Change the words of EXPORT's card: only manifest.json and README.md are rewritten.

    What is not given stays as it is; an empty text takes a word out. Without any option the card is rendered anew.
    Sections are Markdown files in a folder: about.md, filtering.md, source_and_license.md, limits.md, removal.md.
    """
    manifest, changed = update_card(export, read_words(config))
    data = {"export": export, "export_id": manifest.export_id, "changed": list(changed)}
    show(
        data,
        as_json=as_json,
        text=lambda: f"Changed {', '.join(changed)}." if changed else "No word changed; README.md is up to date.",
    )

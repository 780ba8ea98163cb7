"""`hfbucket card`: new words for a finished export, or a check of its card."""

from __future__ import annotations

from dataclasses import asdict

import click
from click.core import ParameterSource

from hfbucket.cli.options import WORDS, SettingsCommand, config_options, was_given
from hfbucket.cli.output import json_option, printable, show
from hfbucket.config import Config
from hfbucket.errors import ConfigError
from hfbucket.io.card_templates import read_templates
from hfbucket.io.card_words import read_words
from hfbucket.stages.card import update_card
from hfbucket.stages.verify.card import check_card


@click.command(cls=SettingsCommand)
@click.argument("export", metavar="EXPORT")
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 where card and manifest disagree.")
@config_options(*WORDS)
@json_option
def command(export: str, check: bool, config: Config, as_json: bool) -> int:
    """Change the words of EXPORT's card: only manifest.json and what is made from it alone are rewritten.

    EXPORT is a folder, or user/name on the Hub: there they change in one commit.

    What is not given stays as it is; an empty text takes a word out. Without any option the card is rendered anew.
    Sections are Markdown files in a folder: about.md, filtering.md, source_and_license.md, limits.md, removal.md.
    Templates are Jinja files in a folder, each in the place of the packaged one of its name. With --check EXPORT may
    be any URL.
    """
    templates = read_templates(config)
    if check:
        return _check(export, templates, as_json)
    manifest, changed = update_card(export, read_words(config), templates if was_given("template") else None)
    data = {"export": export, "export_id": manifest.export_id, "changed": list(changed)}
    show(
        data,
        as_json=as_json,
        text=lambda: f"Changed {', '.join(changed)}." if changed else "No word changed; README.md is up to date.",
    )
    return 0


def _check(export: str, templates: dict[str, str], as_json: bool) -> int:
    source = click.get_current_context().get_parameter_source
    words = [name for name in WORDS if name != "template" and source(name) is ParameterSource.COMMANDLINE]
    if words:
        raise ConfigError(f"--check changes nothing; leave {', '.join(words)} away")
    problems = check_card(export, templates)
    lines = [f"{found.file}: {printable(found.message)}\n    {found.remedy}" for found in problems]
    show(
        {"ok": not problems, "problems": [asdict(found) for found in problems]},
        as_json=as_json,
        text=lambda: "\n".join([*lines, "card and manifest disagree" if lines else "card and manifest agree"]),
    )
    return 1 if problems else 0

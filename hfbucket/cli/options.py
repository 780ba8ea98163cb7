"""From flags and hfbucket.toml to one Config."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from hfbucket.config import Config, choices, is_several, is_switch, setting_names
from hfbucket.config_values import JOINED, flag, shown
from hfbucket.core.keys import text_of
from hfbucket.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS_FILE = "hfbucket.toml"

CONTENT = tuple(f.name for f in fields(Config) if f.metadata["kind"] == "content")
"""Names of the settings that change what is written."""

ENGINE = ("executor", "ray_address", "spark_master", "stall_timeout")
"""Names of the settings that say who does the work."""

WORDS = tuple(f.name for f in fields(Config) if f.metadata["kind"] == "words")
"""Names of the settings that only the card carries."""

_HEADINGS = {"content": "What is written", "run": "How it runs", "words": "What the card says"}
_METAVARS = {
    "base": "PIXELS", "protos": "NAME|FILE", "corners": "N,N…", "shuffle": "SEED", "max_shard_size": "SIZE",
    "max_crop": "SHARE", "subsampling_threshold": "SCALE", "max_failure_ratio": "SHARE", "expect_plan": "ID",
    "priority": "NAME,NAME…", "weights": "NAME=N,…", "caption_seed": "SEED", "captions": "FILE",
    "caption_column": "NAME", "annotations": "FILE", "id_column": "NAME", "image_column": "NAME",
    "work_dir": "DIR", "cache_dir": "DIR", "sections": "DIR", "template": "DIR", "license_link": "URL",
    "ray_address": "ADDRESS", "spark_master": "URL", "stall_timeout": "SECONDS",
}  # fmt: skip
_PLACES = ("NAME|FILE", "FILE", "DIR", "URL", "ADDRESS")
_KEY = "hfbucket.settings_given"


def as_text(argument: str) -> str:
    """Return an argument that is no path: of what is no UTF-8 in it, text as image ids have it. A type for click."""
    return text_of(os.fsencode(argument))


class SettingOption(click.Option):
    """A flag of a setting; it goes into the command's Config, and under its kind's heading in the help."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.heading = heading


class SettingsCommand(click.Command):
    """A command whose help groups the settings by kind, after the command's own options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, one section per kind of setting."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def config_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the flags of these settings (fields of Config), and `--config FILE`.

    The command gets one argument `config`: flags over hfbucket.toml over defaults. Use it below
    `@click.command(cls=SettingsCommand)`. `was_given("base")` then tells whether a setting was given at all.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_config(*args: object, config_file: str | None, **kwargs: Any) -> object:  # noqa: ANN401 - click's own
            flags = {name: kwargs.pop(name) for name in names}
            given = {name: value for name, value in flags.items() if value not in (None, ())}
            if "shuffle" in names and kwargs.pop("order") is not None:
                _set_source_order(given)
            return function(*args, config=load_config(given, config_file), **kwargs)

        wrapped: Callable[..., Any] = with_config
        for name in reversed(names):
            wrapped = _option(name)(wrapped)
        if "shuffle" in names:
            wrapped = _order_option(wrapped)
        help_text = f"TOML file with settings; without it ./{SETTINGS_FILE} where there is one."
        return click.option("--config", "config_file", metavar="FILE", help=help_text)(wrapped)

    return decorate


def was_given(name: str) -> bool:
    """Return whether a flag or the settings file gave this setting in the command that runs."""
    return name in click.get_current_context().meta.get(_KEY, ())


def load_config(flags: Mapping[str, Any], config_file: str | None = None) -> Config:
    """Return the Config of flags over the settings file over defaults.

    Raises:
        ConfigError: the file is missing, is no TOML or has an unknown setting, or a value is wrong.
    """
    path = Path(config_file or SETTINGS_FILE)
    from_file: dict[str, Any] = {}
    if config_file is not None or path.is_file():
        from_file = _read_file(path)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_KEY] = {*from_file, *flags}
    return Config(**{**from_file, **flags})


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such settings file; check --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no TOML: {error}") from None
    found = setting_names(values, where=str(path))
    try:
        Config(**found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return found


def _order_option(function: Callable[..., Any]) -> Callable[..., Any]:
    text = f"keep the sources' order, as without --shuffle; wins over a shuffle in {SETTINGS_FILE}"
    heading = _HEADINGS["content"]
    return click.option("--order", cls=SettingOption, heading=heading, type=click.Choice(["source"]), help=text)(
        function
    )


def _set_source_order(given: dict[str, Any]) -> None:
    if "shuffle" in given:
        raise ConfigError("--order source and --shuffle are opposites; give one of them")
    given["shuffle"] = None


def _option(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    field = next(f for f in fields(Config) if f.name == name)
    several = is_several(name) and name not in JOINED
    text = field.metadata["help"] + (", repeatable" if several else "")
    if field.default not in (None, ()) and not is_switch(name):
        text += f"  [default: {shown(field.default, size='size_in_bytes' in field.metadata)}]"
    elif field.default is True:
        text += "  [default: on]"
    extra: dict[str, Any] = {"heading": _HEADINGS[field.metadata["kind"]]}
    if choices(name):
        extra["type"] = click.Choice(choices(name))
    elif not is_switch(name):
        extra["metavar"] = _METAVARS.get(name, "N" if "low" in field.metadata else "TEXT")
        if extra["metavar"] not in _PLACES:
            extra["type"] = as_text
    names = flag(name) + (f"/--no-{flag(name)[2:]}" if is_switch(name) else "")
    return click.option(names, name, cls=SettingOption, default=None, multiple=several, help=text, **extra)

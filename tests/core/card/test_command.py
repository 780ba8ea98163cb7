"""The command in the card gives the content settings of the export back."""

from __future__ import annotations

import shlex
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from hfbucket.config import Config
from hfbucket.core.card.command import build_command, custom_protos
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.manifest.model import Captions, CaptionVariant, Generator, Manifest, SourceEntry
from hfbucket.core.manifest.settings import manifest_fields
from hfbucket.core.settings import content_settings

OTHER = Config(
    base=(768, 256), image_mode="passthrough_jpeg", max_crop=Fraction(1, 3), shuffle=7, corners=(1, 2), quality=80,
    missing_caption="empty", caption_column=("b", "a c"), check="decode", source_hash=False, max_pixels=5,
    strip_metadata=True, max_shard_size=10**9, subsampling_threshold=Fraction("0.5"), id_column="`id`\n",
)  # fmt: skip


def manifest_of(config: Config, protos: tuple[tuple[int, int], ...] = SDXL, **fields: Any) -> Manifest:
    settings = content_settings(config, protos)
    variants = tuple(
        CaptionVariant(name=name, selected=True, priority=i, images_with_ok_caption=0, images_selected=0)
        for i, name in enumerate(config.variants)
    )
    return Manifest(
        captions=Captions(variants=variants, missing_policy=settings["missing_caption"]),
        sources=(SourceEntry(name="my photos", kind="folder"),),
        generator=Generator(name="hfbucket", version="0.1.0"),
        **{**manifest_fields(settings), **fields},
    )


def settings_in(command: str) -> Config:
    words = shlex.split(command)[len(WORDS) :]
    values: dict[str, Any] = {}
    for i, word in enumerate(words):
        if word.startswith("--no-"):
            values[word[5:].replace("-", "_")] = False
        elif word.startswith("--"):
            flag = i + 1 == len(words) or words[i + 1].startswith("--")
            name, value = word[2:].replace("-", "_"), True if flag else words[i + 1]
            values[name] = (*values[name], value) if name in values else (value,) if name in SEVERAL else value
    return Config(**values)


SEVERAL = ("base", "caption_column")
WORDS = ("hfbucket", "build", "my photos", "-o", "export")


@pytest.mark.parametrize("config", [Config(), OTHER])
def test_command_gives_the_settings_back(config: Config) -> None:
    assert settings_in(build_command(manifest_of(config))) == config


def test_defaults_need_no_flag() -> None:
    command = build_command(manifest_of(Config()))
    assert command == "hfbucket build 'my photos' -o export --base 512 --image-mode reencode_jpeg"


def test_most_without_caption_need_the_flag_that_drops_them() -> None:
    manifest = manifest_of(Config(), summary={"images_seen": 10, "skipped_no_caption": 6})
    assert build_command(manifest).endswith("--missing-caption drop")


def test_own_protos_are_a_file_and_its_content() -> None:
    manifest = manifest_of(Config(), protos=((1024, 1024), (1152, 832)))
    assert "--protos protos.txt" in build_command(manifest)
    assert custom_protos(manifest) == "1024x1024\n1152x832"


def test_hostile_source_name_stays_one_word() -> None:
    source = SourceEntry(name="$(rm -rf x); `y`\n#", kind="folder")
    command = build_command(replace(manifest_of(Config()), sources=(source,)))
    assert shlex.split(command)[2] == "$(rm -rf x); `y` #"
    assert "\n" not in command


@pytest.mark.parametrize(
    "fields",
    [{"bucket_rule": {"metric": "a newer one"}}, {"generator": None}, {"generator": Generator(name="x", version="1")}],
)
def test_no_command_for_what_we_could_not_build(fields: dict[str, Any]) -> None:
    assert build_command(replace(manifest_of(Config()), **fields)) == ""


def test_captions_of_a_workspace_are_asked_for() -> None:
    config = Config(priority=("gemini", "original"), select="weighted", weights=("gemini=3", "original=1"))
    own = manifest_of(replace(config, priority=("original",), weights=("original=1",)))
    assert "--captions" not in build_command(
        replace(own, captions=replace(own.captions, variants=variants("original")))
    )
    made = manifest_of(config)
    command = build_command(replace(made, captions=replace(made.captions, variants=variants("gemini", "original"))))
    assert "--captions captions.sqlite --priority gemini,original --select weighted --weights gemini=3" in command


def variants(*names: str) -> tuple[CaptionVariant, ...]:
    return tuple(
        CaptionVariant(name=name, selected=True, priority=place, images_with_ok_caption=0, images_selected=0)
        for place, name in enumerate(names)
    )

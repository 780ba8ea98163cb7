"""The card: from the manifest alone, read by stock tools, and safe whatever the words."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image, ImageCms

from hfbucket.config import Config
from hfbucket.core.card.facts import front_matter, loader_configs, size_category
from hfbucket.core.card.markdown import line
from hfbucket.core.law.geometry import Geometry
from hfbucket.core.manifest.model import CaptionVariant, License, Manifest, Shard, SourceEntry
from hfbucket.errors import ConfigError
from hfbucket.io.card_templates import read_templates
from hfbucket.io.cards import card_problems, has_own_templates, render_card
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import fit
from tests.factories import make_export, make_foreign_export
from tests.io.card_manifest import FULL, GOLDEN, bucket

PARSER = MarkdownIt("commonmark").enable("table")
MODES = ("reencode_jpeg", "passthrough_jpeg")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Manifest]]:
    """Exports of both modes on disk, with their cards."""
    made = {}
    for mode in MODES:
        path = tmp_path_factory.mktemp(mode) / "export"
        manifest = make_export(path, bases=(128, 64), image_mode=mode, per_shard=8, card=False)
        (path / "README.md").write_text(render_card(manifest), encoding="utf-8")
        made[mode] = (path, manifest)
    return made


def body_of(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def yaml_of(card: str) -> dict[str, Any]:
    data = yaml.safe_load(card.removeprefix("---\n").split("\n---\n", 1)[0])
    assert isinstance(data, dict)
    return data


def headings(card: str) -> list[str]:
    tokens = PARSER.parse(body_of(card))
    return [f"{a.tag} {b.content}" for a, b in pairwise(tokens) if a.type == "heading_open"]


def snippets(card: str) -> list[str]:
    return [t.content for t in PARSER.parse(body_of(card)) if t.type == "fence" and t.info == "python"]


def blocks(card: str) -> list[str]:
    """Return the kinds of the blocks that are no paragraphs."""
    return [t.type for t in PARSER.parse(body_of(card)) if t.level == 0 and not t.type.startswith("paragraph")]


# The YAML


@pytest.mark.parametrize("bases", [(128,), (128, 64)])
def test_globs_match_exactly_the_shards_of_the_manifest(tmp_path: Path, bases: tuple[int, ...]) -> None:
    manifest = make_export(tmp_path, bases=bases, card=False)
    files = LocalFileSystem()
    for config in loader_configs(manifest):
        base = None if config.name == "all" else int(config.name[1:])
        wanted = {s.file for e in manifest.buckets.values() if base in (None, e.base_resolution) for s in e.shards}
        found = [file for pattern in config.patterns for file in files.glob(f"{tmp_path}/{pattern}")]
        assert sorted(found) == sorted(f"{tmp_path}/{file}" for file in wanted)


def test_configs_and_counts() -> None:
    configs = {config.name: (config.patterns, config.images) for config in loader_configs(FULL)}
    assert configs == {
        "all": (("buckets/*/shard-*.tar",), 1_234_567),
        "r512": (("buckets/r512_*/shard-*.tar",), 1_234_555),
        "r51": (("buckets/r51_*/shard-*.tar",), 12),
    }
    assert yaml_of(render_card(FULL))["configs"][0] == {
        "config_name": "all",
        "default": True,
        "data_files": [{"split": "train", "path": "buckets/*/shard-*.tar"}],
    }


def test_buckets_of_unusual_names_get_globs_of_their_own() -> None:
    buckets = {"left": bucket("left", 512, 3), "right": bucket("right", 256, 2), "empty": bucket("empty", 128, 0)}
    configs = {config.name: config.patterns for config in loader_configs(replace(FULL, buckets=buckets))}
    assert configs == {
        "all": ("buckets/*/shard-*.tar",),
        "r512": ("buckets/left/*.tar",),
        "r256": ("buckets/right/*.tar",),
    }


def test_a_shard_outside_its_folder_is_named() -> None:
    odd = replace(bucket("a", 512, 3), shards=(Shard(file="buckets/b/shard-00007.tar"),))
    buckets = {"a": odd, "b": bucket("b", 256, 2)}
    patterns = {config.name: config.patterns for config in loader_configs(replace(FULL, buckets=buckets))}
    assert patterns["r512"] == ("buckets/b/shard-00007.tar",)
    assert patterns["r256"] == ("buckets/b/shard-00000.tar",)


def test_datasets_reads_the_metadata(exports: dict[str, tuple[Path, Manifest]]) -> None:
    from datasets import DatasetInfo, load_dataset_builder

    path, manifest = exports["reencode_jpeg"]
    for config in front_matter(manifest)["configs"]:
        info: DatasetInfo = load_dataset_builder(str(path), config["config_name"]).info
        images = {c.name: c.images for c in loader_configs(manifest)}[config["config_name"]]
        assert info.splits["train"].num_examples == images
        kinds = {name: type(feature).__name__ for name, feature in info.features.items()}
        assert kinds == {"jpg": "Image", "txt": "Value", "json": "Json", "__key__": "Value", "__url__": "Value"}


@pytest.mark.parametrize("name", ["all", "r128", "r64"])
def test_stock_datasets_loads_every_config_at_once(
    exports: dict[str, tuple[Path, Manifest]], tmp_path: Path, name: str
) -> None:
    from datasets import load_dataset

    path, manifest = exports["reencode_jpeg"]
    images = load_dataset(str(path), name, split="train", cache_dir=str(tmp_path))
    assert len(images) == {config.name: config.images for config in loader_configs(manifest)}[name]
    assert images[0]["jpg"].size == (images[0]["json"]["w"], images[0]["json"]["h"])


@pytest.mark.parametrize(
    ("images", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (18_455_504, "10M<n<100M"), (10**12 - 1, "100B<n<1T"),
     (10**12, "n>1T")],
)  # fmt: skip
def test_size_category(images: int, category: str) -> None:
    assert size_category(images) == category


def test_license_only_where_one_was_given() -> None:
    bare = yaml_of(render_card(replace(FULL, license=License())))
    assert not [key for key in bare if key.startswith("license")]
    named = yaml_of(render_card(replace(FULL, license=License(name="Isle", link="https://example.org/l"))))
    assert (named["license"], named["license_name"], named["license_link"]) == (
        "other",
        "Isle",
        "https://example.org/l",
    )
    assert yaml_of(render_card(replace(FULL, language=("no", "en"))))["language"] == ["no", "en"]


# The snippets

SNIPPETS = {
    "datasets": r"\(1\d\d, \d+\) Picture .* r128_p",
    "hfbucket": r"\((128, 128|128, 96)\) Picture .* r128_p",
    "webdataset": r"\(\d+, \d+\) Picture .* r\d+_p",
    "tarfile": r"[0-9a-f]{32}\.jpg \d+ Picture .* r128_p",
    "batches": r"16 128 (128|96)\n",
    "fit": r"\((128, 128|128, 96)\)\n",
    "samples": r"drawn/r128_p1024x1024/picture .*\d+ bytes of JPEG\n",
    "duckdb": r".*r128_p1024x1024.*16",
}
"""What each snippet of the card prints, in their order."""


@pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO")  # webdataset leaves a shard open when it is left
@pytest.mark.parametrize("name", SNIPPETS)
@pytest.mark.parametrize("mode", MODES)
def test_snippet_runs(
    exports: dict[str, tuple[Path, Manifest]],
    mode: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, manifest = exports[mode]
    if name == "duckdb":
        pytest.importorskip("duckdb", reason="duckdb is not installed: the card's query is not run")
    names = [n for n in SNIPPETS if n != "fit" or mode == "passthrough_jpeg"]
    found = dict(zip(names, snippets(render_card(manifest)), strict=True))
    if name not in found:
        return
    monkeypatch.chdir(path.parent)
    exec(compile(found[name], name, "exec"), {"__name__": name})
    assert re.match(SNIPPETS[name], capsys.readouterr().out, re.DOTALL)


def srgb_with(old: bytes, new: bytes) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert old in profile
    return profile.replace(old, b"\0old").replace(new, old).replace(b"\0old", new)


PROFILES = {
    "swapped": srgb_with(b"rXYZ", b"gXYZ"),
    "of gray": srgb_with(b"RGB ", b"GRAY"),
    "broken": b"no profile" * 20,
}


@pytest.mark.parametrize("kind", ["plain", "gray", *PROFILES])
def test_fit_gives_the_pixels_that_reencoding_encodes(kind: str) -> None:
    """Colors may differ by one level after a conversion between color profiles, by nothing else."""
    source = Image.radial_gradient("L").resize((210, 140))
    if kind != "gray":
        source = Image.merge("RGB", (source, source.rotate(90), source.rotate(180)))
    data = io.BytesIO()
    source.save(data, "JPEG", icc_profile=PROFILES.get(kind))
    snippet = snippets(render_card(replace(FULL, image_mode="passthrough_jpeg")))[5].split("sample = ")[0]
    space: dict[str, Any] = {}
    exec(compile(snippet, "fit", "exec"), space)
    box = Geometry(resized_w=96, resized_h=64, crop_left=32, crop_top=0, w=64, h=64)
    metadata = {name: getattr(box, name) for name in ("resized_w", "resized_h", "crop_left", "crop_top", "w", "h")}
    ours = space["fit"](Image.open(io.BytesIO(data.getvalue())), metadata)
    theirs = fit(decode_rgb(data.getvalue(), max_pixels=10**6).image, box)
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max() <= (kind == "swapped")


# The body

HOSTILE = (
    "# Injected heading\n\n## Another",
    "x\n---\nlicense: mit\n---\n",
    "| a | b |\n| - | - |",
    "<script>alert(1)</script> <!-- &lt;",
    "```\ncode",
    "[a](javascript:alert(1)) ![b](http://x/y.png) <http://z>",
    "{{ manifest }} {% raw %} ${x} `",
    "- !!python/object:os.system x: [&a *a]",
    "\u202edrawkcab\x00\x1b[31m\ud800\u2028",
    "  \t\n ",
    "'\"\\",
)


def hostile(text: str) -> Manifest:
    variants = tuple(
        CaptionVariant(name=text + str(i), selected=True, priority=i, images_with_ok_caption=1, images_selected=1)
        for i in range(2)
    )
    source = SourceEntry(
        name=text, kind=text, repo_id=text, url=text, revision=text, splits=(text,), images_seen=3, license=text,
        homepage="https://example.org/" + text,
    )  # fmt: skip
    return replace(
        FULL,
        title=text,
        description=text,
        license=License(id=text, name=text, link="https://example.org/" + text),
        language=(text,),
        tags=(text,),
        citation=text,
        captions=replace(FULL.captions, variants=variants),
        caption_sources=({"id": text, "variant": text, "model": text, "prompt_sha256": text},),
        sources=(source,),
        settings={**FULL.settings, "id_column": text},
        generator=replace(FULL.generator, version=text) if FULL.generator else None,
        history=tuple(replace(entry, what=text, created=text) for entry in FULL.history),
        sections={},
    )


PLAIN = render_card(hostile("word"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_change_no_structure(text: str) -> None:
    check_hostile(text)


@settings(max_examples=25, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("\\`*_[]()<>#|~$&;!-+=.:{}%'\"@,?/ 1a\n\t\r\0é\u202e\u2028\ud800"), max_size=40)
)
def test_no_words_change_the_structure(text: str) -> None:
    check_hostile(text)


def check_hostile(text: str) -> None:
    card, plain = render_card(hostile(text)), PLAIN
    card.encode("utf-8")
    if line(text):
        assert headings(card)[1:] == headings(plain)[1:]
        assert blocks(card) == blocks(plain)
    inline = [child for t in PARSER.parse(body_of(card)) for child in t.children or []]
    assert not [child for child in inline if child.type in ("html_inline", "image", "em", "strong")]
    assert all(str(child.attrs["href"]).startswith("https://") for child in inline if child.type == "link_open")
    data, expected = yaml_of(card), yaml_of(plain)
    assert (data["configs"], data["dataset_info"]) == (expected["configs"], expected["dataset_info"])
    assert data.get("pretty_name") == (line(text) or None)
    assert card_problems(card, hostile(text)) == ()


@pytest.mark.parametrize(
    "opened", ["```python\ncode", "<!-- hidden", "<details>\n\nmore", "# Own heading\n\ntext", "~~~"]
)
def test_sections_end_where_they_end(opened: str) -> None:
    sections = dict.fromkeys(("about", "filtering", "source_and_license", "limits"), opened)
    wanted = headings(render_card(replace(FULL, sections={})))
    if opened.startswith("#"):
        wanted.remove("h2 Limits")  # it brings its own
    assert [h for h in headings(render_card(replace(FULL, sections=sections))) if h in wanted] == wanted


def test_a_section_may_bring_its_heading() -> None:
    card = render_card(replace(FULL, sections={"limits": "# What is missing\n\nOwls.", "about": "### Small\n\nx"}))
    assert [h for h in headings(card) if h in ("h2 What is missing", "h3 Small", "h2 Limits", "h2 About")] == [
        "h3 Small",
        "h2 What is missing",
    ]


def test_sections_stand_in_their_places() -> None:
    order = ["h2 About", "h2 Loading", "h2 Captions", "h2 Filtering", "h2 Source and license", "h2 Limits",
             "h2 How it was made"]  # fmt: skip
    found = headings(render_card(FULL))
    assert [heading for heading in found if heading in order] == order


@pytest.mark.parametrize(
    "manifest", [FULL, replace(FULL, image_mode="passthrough_jpeg"), Manifest(format=FULL.format, buckets=FULL.buckets)]
)
def test_card_is_finished(manifest: Manifest) -> None:
    card = render_card(manifest)
    assert not re.search(r"\bNone\b|\{\{|\{%|More Information Needed|TODO|/tmp/|\n\n\n(?!def |images =|sample =)", card)
    tokens = PARSER.parse(body_of(card))
    for i, token in enumerate(tokens):
        if token.type == "heading_close":
            rest = tokens[i + 1 :]
            assert rest
            assert rest[0].type != "heading_open" or int(rest[0].tag[1]) > int(token.tag[1])
    assert card.endswith("\n")
    assert not card.endswith("\n\n")


@pytest.mark.parametrize("path", GOLDEN)
def test_golden_card(path: str) -> None:
    """After a wanted change: `python -m scripts.regen_golden`, and read the diff."""
    golden = Path(__file__).parents[2] / path
    assert render_card(GOLDEN[path]) == golden.read_text(encoding="utf-8")


def test_distribution_is_most_frequent_first_with_real_sizes() -> None:
    card = render_card(FULL)
    assert re.search(
        r"### Base 512\n\n\| Bucket .*\n.*\n\| `r512_p1152x832` +\| +576x416 \| +1\.385 \| 1,234,000 \| "
        r"> 99\.9% \| +2\.0% \| +34\.1% \|\n"
        r"\| `r512_p1024x1024` +\| +512x512 \| +1\.000 \| +555 \| +< 0\.1% \| +0\.1% \| +10\.0% \|\n"
        r"\| all +\| +\| +\| 1,234,555 \| +100\.0% \| +2\.0% \| +34\.1% \|\n\n### Base 51\n",
        card,
    )


def test_limits_are_what_the_numbers_say() -> None:
    card = render_card(replace(FULL, sections={"limits": "Few owls."}))
    limits = card.partition("## Limits\n\nFew owls.\n\nWhat the numbers say:\n\n")[2].partition("\n## ")[0]
    assert limits.splitlines() == [
        "- 60,000 images (4.6% of those seen) left out: smaller than every bucket. Small pictures are missing.",
        "- 6,000 images (0.5% of those seen) left out: without a caption.",
        "- Base resolution 51 holds the images that are too small for 512, not a small copy of all: train on all of "
        "them, or know that the smaller ones are of other pictures.",
        "- 67 images (< 0.1%) lose more than 20% of the picture to the crop, up to 34.1%. What a caption speaks of may "
        "lie in that part.",
        "- Captions by a captioner were written by a model: they may name what is not in the picture.",
        "- No image was left out for what it shows.",
        "- No image was left out as a copy of another: one picture may be here under several ids.",
    ]
    assert "left out for what it shows" not in render_card(FULL)  # somebody says how it was filtered


def test_a_way_to_removal_is_always_told() -> None:
    assert "discussion in the Community tab" in render_card(FULL)
    own = render_card(replace(FULL, sections={"removal": "Write to owl@example.org."}))
    assert "## Removal\n\nWrite to owl@example.org.\n" in own
    assert "Community tab" not in own


@pytest.mark.parametrize(
    ("given", "stated"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("My own terms", {"license": "other", "license_name": "My own terms"}),
        ("gpl-2.0-or-later", {"license": "other", "license_name": "gpl-2.0-or-later"}),
    ],
)
def test_licenses_are_named_as_the_hub_accepts_them(given: str, stated: dict[str, str]) -> None:
    data = yaml_of(render_card(replace(FULL, license=License(id=given))))
    assert {key: value for key, value in data.items() if key.startswith("license")} == stated


@pytest.mark.parametrize(
    ("given", "stated"),
    [("LICENSE.md", "LICENSE.md"), ("https://example.org/a b", "https://example.org/a%20b"), ("terms.txt", None)],
)
def test_license_links_are_urls_or_license_files(given: str, stated: str | None) -> None:
    data = yaml_of(render_card(replace(FULL, license=License(name="Isle", link=given))))
    assert data.get("license_link") == stated


# Templates of an owner


def test_own_templates_take_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "removal.md.jinja").write_text("## Gone\n\n{{ manifest.title | inline }}\n")
    templates = read_templates(Config(template=str(tmp_path)))
    card, ours = render_card(FULL, templates), render_card(FULL)
    assert "## Gone\n\nBirds of the island\n" in card
    assert [h for h in headings(card) if h != "h2 Gone"] == [h for h in headings(ours) if h != "h2 Removal"]
    assert (has_own_templates(card), has_own_templates(ours)) == (True, False)
    assert card_problems(card, FULL) == ()
    assert render_card(FULL) == ours


def test_cards_of_own_templates_may_leave_out_tables_but_not_change_them(tmp_path: Path) -> None:
    for name in ("buckets", "summary"):
        (tmp_path / f"{name}.md.jinja").write_text("")
    card = render_card(FULL, read_templates(Config(template=str(tmp_path))))
    assert card_problems(card, FULL) == ()
    changed = card.replace("## Removal", "| `images_exported` | in this dataset | 7 | 94.9% | 7 |\n\n## Removal")
    (problem,) = card_problems(changed, FULL)
    assert problem.startswith("has the table row `images_exported` | in this dataset | 7 | 94.9% | 7, the manifest")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has no template; a card has buckets\.md\.jinja"),
        ({"other.md.jinja": "x"}, r"other\.md\.jinja is no template of a card"),
        ({"limits.md.jinja": "a\n{% if %}"}, r"limits\.md\.jinja line 2: Expected an expression"),
        ({"limits.md.jinja": "{{ nothing }}"}, "the card does not render: 'nothing' is undefined"),
        ({"limits.md.jinja": "{{ 1 // 0 }}"}, "the card does not render: .* by zero"),
        ({"card.md.jinja": "# No metadata"}, "has other metadata than the manifest: metadata 'language'"),
    ],
)
def test_mistakes_in_templates_are_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        render_card(FULL, read_templates(Config(template=str(tmp_path))))


def test_card_tells_what_passthrough_keeps() -> None:
    card = render_card(replace(FULL, image_mode="passthrough_jpeg", reencoded_in_passthrough=1234))
    assert "1,234 of the images were saved anew at full size" in card
    assert "keep the EXIF data" in card
    stripped = replace(FULL, image_mode="passthrough_jpeg", settings={**FULL.settings, "strip_metadata": True})
    assert "keep the EXIF data" not in render_card(stripped)


def test_defaults_need_no_words() -> None:
    card = render_card(replace(FULL, title=None, description=None, license=License(), citation=None, sections={}))
    assert "1,234,567 captioned images for text-to-image training, sorted by shape into 3 aspect-ratio buckets" in card
    assert "The dataset's license" not in card
    assert "\n# Images in aspect-ratio buckets\n" in card


def test_exports_of_other_tools_get_a_card(tmp_path: Path) -> None:
    from hfbucket.io.manifest_file import read_manifest

    for i, names in enumerate((True, False)):
        make_foreign_export(tmp_path / str(i), names=names)
        manifest = read_manifest(tmp_path / str(i))
        assert card_problems(render_card(manifest), manifest) == ()


# The card against its manifest


@pytest.mark.parametrize("mode", MODES)
def test_card_agrees_with_its_manifest(exports: dict[str, tuple[Path, Manifest]], mode: str) -> None:
    path, manifest = exports[mode]
    assert card_problems((path / "README.md").read_text(encoding="utf-8"), manifest) == ()


def test_contradictions_are_named() -> None:
    card = render_card(FULL)
    for old, new, problem in [
        ("license: cc-by-4.0", "license: mit", 'metadata \'license\' must be "cc-by-4.0", got "mit"'),
        ("path: buckets/r51_*", "path: buckets/r5*", "metadata 'configs' must be"),
        ("num_examples: 12", "num_examples: 13", "metadata 'dataset_info' must be"),
        ("| 1,234,000 |", "| 1,234,001 |", "has no table row `r512_p1152x832` | 576x416 | 1.385 | 1,234,000 | > 99.9%"),
        (" 34.1% |", " 34.2% |", "has no table row `r512_p1152x832` | 576x416"),
        ("| `skipped_too_small` ", "| `skipped_too_smal` ", "has no table row `skipped_too_small` | smaller than"),
    ]:
        assert old in card
        assert any(line.startswith(problem) for line in card_problems(card.replace(old, new), FULL)), problem


@pytest.mark.parametrize("card", ["---\n- a\n---\n", "---\na: [\n---\n", "---\n!!python/none x\n---\n"])
def test_broken_metadata_is_one_problem(card: str) -> None:
    (problem,) = card_problems(card, FULL)
    assert problem.startswith("the metadata is no YAML that the Hub reads")


def test_card_without_metadata_lacks_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    assert len(card_problems("no metadata\n", FULL)) > 5

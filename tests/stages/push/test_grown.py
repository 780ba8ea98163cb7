"""After an update or a removal only the shards travel that are new or written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hfbucket
from hfbucket.config import Config
from tests.hub.client import at_every_commit, client_here
from tests.hub.loopback import LoopbackHub
from tests.stages.pictures import draw_folder

SETTINGS: dict[str, Any] = {"base": (128, 64), "max_shard_samples": 3, "workers": 0}


def shards_at(hub: LoopbackHub) -> dict[str, str | None]:
    *_, (_, files) = at_every_commit(hub, "me/name")
    return {name: sha256 for name, sha256 in files.items() if name.endswith(".tar")}


def test_only_new_and_changed_shards_travel(hub: LoopbackHub, tmp_path: Path) -> None:
    photos, export = draw_folder(tmp_path / "photos", 20), tmp_path / "export"
    hfbucket.build(str(photos), export, Config(**SETTINGS, license="cc0-1.0"))
    with client_here(hub, tmp_path / "home"):
        hfbucket.push(export, "me/name")
        first, puts = shards_at(hub), len(hub.log.puts)

        draw_folder(photos, 7, start=20)
        hfbucket.build(str(photos), export, Config(**SETTINGS, update=True))
        report = hfbucket.push(export, "me/name").to_dict()
        second = shards_at(hub)
        new = second.keys() - first.keys()
        assert {name: second[name] for name in first} == first
        assert len(new) == report["kinds"]["shards"] > 0
        assert not {put.oid for put in hub.log.puts[puts:]} & {*first.values()}

        puts = len(hub.log.puts)
        removed = hfbucket.remove(export, ids=["0000.jpg", "0003.jpg"])
        report = hfbucket.push(export, "me/name").to_dict()
        third = shards_at(hub)
        hit = {name for name in second if third.get(name) != second[name]}
        assert len(hit) == removed.shards_rewritten + removed.shards_gone == 2
        assert report["kinds"]["shards"] == removed.shards_rewritten
        assert not {put.oid for put in hub.log.puts[puts:]} & {*second.values()}
        assert hfbucket.push(export, "me/name").to_dict()["way"] == "nothing to do"

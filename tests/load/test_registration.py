"""`datasets.load_dataset("bucketed_shards", …)`, whichever of the two is imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hfbucket.load import registration
from tests.factories import make_export

LOAD = """
rows = list(datasets.load_dataset("bucketed_shards", "r64", data_files=sys.argv[1], split="train", streaming=True))
assert [row["image"].size for row in rows] == [(64, 64)] * 2, rows
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import hfbucket, datasets",
        "import datasets, hfbucket",
        "import hfbucket, importlib; importlib.reload(hfbucket); import datasets",
    ],
)
def test_the_order_of_imports_does_not_matter(tmp_path: Path, imports: str) -> None:
    make_export(tmp_path, bases=(64,), per_shard=1, card=False)
    code = f"import sys\n{imports}\n{LOAD}"
    # The first bucket only: two shards with a sample each.
    code = code.replace("split=", 'buckets=["p1024x1024"], split=')
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path / "manifest.json")], check=True)


def test_importing_hfbucket_does_not_import_datasets() -> None:
    code = "import hfbucket, sys; sys.exit('datasets' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_left_waiting_once_datasets_is_there() -> None:
    code = (
        "import hfbucket, sys; waiting = len(sys.meta_path)\n"
        "import datasets; from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as known\n"
        "sys.exit(not (known['bucketed_shards'][0] == 'hfbucket.builders.bucketed_shards'"
        " and not any('WhenImported' in type(finder).__name__ for finder in sys.meta_path)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("registry", [None, [], {"csv": "datasets.csv"}])
def test_a_datasets_that_works_otherwise_is_warned_of(monkeypatch: pytest.MonkeyPatch, registry: object) -> None:
    changed = ModuleType("datasets.packaged_modules")
    if registry is not None:
        changed._PACKAGED_DATASETS_MODULES = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets.packaged_modules", changed)
    with pytest.warns(RuntimeWarning, match=r"use hfbucket\.load_dataset\(…\), which does the same"):
        registration.register()


def test_a_missing_datasets_is_still_missing() -> None:
    code = (
        "import sys, hfbucket\n"
        "sys.modules['datasets'] = None\n"
        "try:\n    import datasets.packaged_modules\n"
        "except ImportError: sys.exit(0)\n"
        "sys.exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

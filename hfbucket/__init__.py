"""hfbucket: piles of captioned images to aspect-ratio-bucketed datasets for text-to-image training.

Names are imported when they are first used, so that `import hfbucket` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Config", "HfBucketError", "Manifest", "__version__", "build", "extract", "load_dataset", "plan", "pull", "push",
    "recaption", "remove", "todo", "verify",
]  # fmt: skip

_HOMES = {
    "Config": "hfbucket.config",
    "HfBucketError": "hfbucket.errors",
    "Manifest": "hfbucket.core.manifest.model",
    "build": "hfbucket.stages.build",
    "extract": "hfbucket.stages.extract",
    "load_dataset": "hfbucket.load.api",
    "plan": "hfbucket.stages.report",
    "pull": "hfbucket.stages.pull.run",
    "push": "hfbucket.stages.push.run",
    "recaption": "hfbucket.stages.recaption",
    "remove": "hfbucket.stages.remove",
    "todo": "hfbucket.stages.workspace.todo",
    "verify": "hfbucket.stages.verify.run",
}
"""Public name to the module that has it."""

if TYPE_CHECKING:
    from hfbucket.config import Config
    from hfbucket.core.manifest.model import Manifest
    from hfbucket.errors import HfBucketError
    from hfbucket.load.api import load_dataset
    from hfbucket.stages.build import build
    from hfbucket.stages.extract import extract
    from hfbucket.stages.pull.run import pull
    from hfbucket.stages.push.run import push
    from hfbucket.stages.recaption import recaption
    from hfbucket.stages.remove import remove
    from hfbucket.stages.report import plan
    from hfbucket.stages.verify.run import verify
    from hfbucket.stages.workspace.todo import todo


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# load_dataset("bucketed_shards", …) works from now on.
importlib.import_module("hfbucket.load.registration").register()

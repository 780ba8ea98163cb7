"""Tasks of shards, ready to be written."""

from __future__ import annotations

from pathlib import Path

from hfbucket.config import Config
from hfbucket.core.settings import content_settings
from hfbucket.stages.captions import choice_for
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.write.task import ShardTask
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import work_beside


def tasks_of(source: Path, export: Path, config: Config) -> list[ShardTask]:
    """Return the tasks of a build that has written nothing yet."""
    index = build_index([str(source)], config)
    plan = make_plan(index, config)
    work = work_beside(export)
    work.folder.mkdir(parents=True)
    job = make_job(index, config, choice_for(index, config), export, work)
    return write_tasks(index, plan, job, content_settings(config, read_protos(config)))

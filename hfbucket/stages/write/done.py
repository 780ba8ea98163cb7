"""What is done already: the receipts of these very tasks."""

from __future__ import annotations

from collections.abc import Sequence

from hfbucket.io.places import below, in_order, present, sizes
from hfbucket.io.receipts import Receipt, read_receipt, receipt_file
from hfbucket.stages.write.task import ShardTask


def receipts_of(tasks: Sequence[ShardTask]) -> list[Receipt | None]:
    """Return the receipts of the tasks that are done: of these very tasks, with their shards there at their sizes."""
    if not tasks:
        return []
    folder = tasks[0].receipts
    is_there, size_of = present(folder), sizes(tasks[0].folder)

    def receipt_of(task: ShardTask) -> Receipt | None:
        place = receipt_file(folder, task.name)
        receipt = read_receipt(place) if is_there(below(place, folder)) else None
        if receipt is None or receipt.task_sha256 != task.task_sha256:
            return None
        return receipt if size_of(task.name) == receipt.size_bytes else None

    return list(in_order(receipt_of, tasks, at=folder))

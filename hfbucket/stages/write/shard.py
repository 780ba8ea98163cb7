"""Writing a shard, or a part: read each source image, make it what the plan says, into the tar; a receipt at the end.

A task obeys: it chooses nothing, so any process may run it, at any time, twice or half, with the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from hfbucket.config import Config
from hfbucket.core.card.previews import PREVIEWS, Preview
from hfbucket.core.conversions import MULTI_FRAME
from hfbucket.core.keys import shard_file
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.law.geometry import Geometry
from hfbucket.core.plan.encoding import ENCODE_BUCKET, ENCODE_NONE
from hfbucket.core.plan.packing import FULL_QUALITY, FULL_SUBSAMPLING
from hfbucket.core.sample import Encoding
from hfbucket.errors import SampleError, SourceError
from hfbucket.executors.isolated import Died, Isolated
from hfbucket.executors.task import Failure, report
from hfbucket.io.images.decode import Decoded, check_structure, decode_rgb
from hfbucket.io.images.encode import encode_jpeg, fit, jpeg_subsampling
from hfbucket.io.images.jpeg import strip_metadata
from hfbucket.io.images.preview import make_preview, preview_of
from hfbucket.io.places import made_here
from hfbucket.io.receipts import Receipt, ReceiptWriter, Rejected, receipt_writer
from hfbucket.io.row_groups import batches_in_groups
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages.care import Care, carefully, stall_limit_s
from hfbucket.stages.rounds import failure_of
from hfbucket.stages.write.batch import batches_of, rows_of
from hfbucket.stages.write.read import SourceReader, read_units
from hfbucket.stages.write.task import ShardTask

_Order = tuple[bytes, dict[str, Any], Bucket, Config, bool]
"""What `make_image` makes an image of, and `_preview` a preview."""


class _Calls(NamedTuple):
    """Ways to call a function of one image."""

    now: Callable[[Callable[[_Order], Any], _Order], Any]
    #: Begins it at most, beside other work; what it returns gives the result.
    later: Callable[[Callable[[_Order], Any], _Order], Callable[[], Any]]


_AS_IT_WAS: Final = Encoding(image_mode="passthrough_jpeg")


class Image(NamedTuple):
    """One image as it goes into a shard; `notes` are of `CONVERSIONS`: what decoding did, worth counting."""

    data: bytes
    encoding: Encoding
    notes: tuple[str, ...] = ()
    #: Where one was asked for and the pixels were at hand.
    preview: Preview | None = None


def write_shard(task: ShardTask) -> Failure | None:
    """Write a shard, or a part of one, and its receipt; return None, or why it could not be.

    An image that cannot be exported is no failure: the receipt says so.
    """
    try:
        write_tar(task, partial(_fill, task))
    except (OSError, MemoryError, SourceError, Died) as error:
        return failure_of(task, error)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Came:
    """What came of the images of a tar so far."""

    samples: ReceiptWriter
    rejected: list[Rejected] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    previews: list[Preview] = field(default_factory=list)


def write_tar(task: ShardTask, fill: Callable[[ShardWriter, Came], None]) -> None:
    """Write the tar that a task names, and its receipt, as `fill` appends samples and tells what came of them."""
    place = task.folder / task.name
    with receipt_writer(task.receipts, task.name) as samples:
        came = Came(samples=samples)
        with made_here(place, sign=lambda: report(task.samples)) as here, ShardWriter(here) as shard:
            fill(shard, came)
            size_bytes, sha256 = shard.finish() if samples.count else (0, "")
        if not samples.count:
            place.unlink(missing_ok=True)
        receipt = Receipt(
            task_sha256=task.task_sha256,
            file=task.name,
            count=samples.count,
            size_bytes=size_bytes,
            sha256=sha256,
            rejected=tuple(came.rejected),
            notes=dict(sorted(came.notes.items())),
            previews=tuple(came.previews),
        )
        samples.end(receipt)


def _fill(task: ShardTask, shard: ShardWriter, came: Came) -> None:
    """Make every image of a task, and append its sample to the tar."""
    work, units_sha256 = task.job.work, task.job.units_sha256
    with SourceReader(read_units(work.units, units_sha256), work) as sources, _caller(task) as calls:
        shown = _append_all(task, shard, sources, calls, came)
        shard.end()  # the disk is at work while the last previews are made
        for preview in shown:
            with suppress(SampleError):  # no picture is worth an error
                came.previews.append(preview())


def _append_all(
    task: ShardTask, shard: ShardWriter, sources: SourceReader, calls: _Calls, came: Came
) -> list[Callable[[], Preview]]:
    """Append every sample; return what gives the previews of those that are shown."""
    wanted = _shown(task)
    shown: list[Callable[[], Preview]] = []
    images = sources.read_all(rows_of(task))
    done = 0
    for batch in batches_of(task):
        for number, (row, source) in enumerate(islice(images, batch.size)):
            order = (source, row, task.bucket, task.job.config, row["digest"] in wanted)
            try:
                image = calls.now(_make, order)
            except SampleError as error:
                came.rejected.append(Rejected(image_id=row["image_id"], outcome=error.outcome, detail=error.detail))
            else:
                batch.add(number, shard, source, image.data, image.encoding)
                if image.notes:
                    came.notes.update(image.notes)
                if order[-1]:
                    made = image.preview
                    shown.append(calls.later(_preview, order) if made is None else partial(_itself, made))
            done += 1
            report(done)
        came.samples.add(batch.samples())
    return shown


@contextmanager
def _caller(task: ShardTask) -> Iterator[_Calls]:
    """Yield what calls a function of one image: here, or with care in a child."""
    if task.care == Care.NONE:
        with ThreadPoolExecutor(1) as thread:  # decoding lets go of the interpreter's lock
            yield _Calls(now=lambda function, order: function(order), later=lambda *call: thread.submit(*call).result)
        return
    with Isolated(stall_limit_s(task.job.config)) as child:
        now = partial(carefully, child, task.care)
        yield _Calls(now=now, later=lambda *call: partial(now, *call))


def _itself(made: Preview) -> Preview:
    return made


def _make(order: _Order) -> Image:
    return make_image(*order)


def _preview(order: _Order) -> Preview:
    source, row, bucket, config, _ = order
    return make_preview(source, _geometry(row, bucket), max_pixels=config.max_pixels)


def _shown(task: ShardTask) -> frozenset[bytes]:
    """Return the digests of the images that go onto the bucket's contact sheet: the first few by digest.

    Of the first shard only, so that the choice depends on nothing outside of the task.
    """
    if task.file != shard_file(task.bucket.bucket_id, 0):
        return frozenset()
    batches = batches_in_groups(task.table, task.row_groups, columns=["digest"])
    return frozenset(sorted(digest for batch in batches for digest in batch["digest"].to_pylist())[:PREVIEWS])


def make_image(source: bytes, row: dict[str, Any], bucket: Bucket, config: Config, shown: bool = False) -> Image:
    """Return the image that goes into the shard, by FORMAT section 5.

    Args:
        source: the source's encoded bytes.
        row: its row of `schemas.TASKS`.
        shown: it goes onto the bucket's contact sheet.

    Raises:
        SampleError: it cannot be decoded or encoded, or is broken.
    """
    if row["encode"] == ENCODE_NONE:
        return _kept(source, config)
    decoded, geometry = _decoded(source, row, config), _geometry(row, bucket)
    picture = whole = decoded.image
    if row["encode"] != ENCODE_BUCKET:
        quality, subsampling = FULL_QUALITY, FULL_SUBSAMPLING
    else:
        quality, subsampling = config.quality, jpeg_subsampling(config, geometry, row["source_w"], row["source_h"])
        if shown:  # the crop is cut out of it, with the same pixels, and the preview is made of fewer
            whole = fit(whole, geometry.uncropped)
        picture = fit(whole, geometry)
    data = encode_jpeg(picture, quality=quality, subsampling=subsampling)
    encoding = Encoding(image_mode="reencode_jpeg", quality=quality, subsampling=subsampling)
    preview = preview_of(whole, geometry) if shown else None
    return Image(data=data, encoding=encoding, notes=decoded.notes, preview=preview)


def _geometry(row: dict[str, Any], bucket: Bucket) -> Geometry:
    return Geometry(
        resized_w=row["resized_w"],
        resized_h=row["resized_h"],
        crop_left=row["crop_left"],
        crop_top=row["crop_top"],
        w=bucket.w,
        h=bucket.h,
    )


def _decoded(source: bytes, row: dict[str, Any], config: Config) -> Decoded:
    decoded = decode_rgb(source, max_pixels=config.max_pixels)
    planned = (row["source_w"], row["source_h"])
    if decoded.image.size != planned:
        sizes = [f"{w}x{h}" for w, h in (planned, decoded.image.size)]
        raise SampleError("decode_errors", f"the header says {sizes[0]} pixels, decoding gives {sizes[1]}")
    return decoded


def _kept(source: bytes, config: Config) -> Image:
    frames = 1
    if config.check == "structure":
        frames = check_structure(source, "jpeg")
    elif config.check == "decode":
        frames += MULTI_FRAME in decode_rgb(source, max_pixels=config.max_pixels).notes
    data = strip_metadata(source) if config.strip_metadata else source
    notes = (MULTI_FRAME,) if frames > 1 else ()
    return Image(data=data, encoding=_AS_IT_WAS, notes=notes)

"""What compiled code takes of a tar is what the readers in Python take of it, whatever lies in the tar."""

from __future__ import annotations

import functools
import io
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.errors import SourceError
from hfbucket.io import tarwalk
from hfbucket.io.forward import Forward
from hfbucket.io.store import RandomFile
from hfbucket.sources import tars
from hfbucket.sources.rows import look_at
from tests.sources.drawn import image, tar

pytestmark = pytest.mark.skipif(vars(tarwalk)["_walk"] is None, reason="built without a compiler")

_STEMS = st.sampled_from(
    ["a", "b", "c", "d/a", "./e", "f.g", "é", "\udcff", "%FF", ".h", "x" * 120, "s" * 90 + "/" + "t" * 90]
)
_EXTENSIONS = st.sampled_from(
    [
        *["jpg"] * 6, *["txt"] * 4, "json", "jpeg", "JPG", "png", "TXT", "cls", "caption", "npy", "gz", "txt.gz", "",
        "x" * 20,
    ]
)  # fmt: skip
_TEXTS = (
    b"a photo",
    b"",
    b" r\xc3\xa9 \n",
    b"caf\xe9",
    b"\xef\xbb\xbfmark",
    b"\xff\xfea\0",
    b"a\0b",
    b"17",
    b"y" * 70_000,
)
_JSONS = (b'{"caption": "c", "score": 1}', b'{"exif": "GPSInfo", "lat": 3}', b"[1]", b"{")


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


@functools.cache
def images() -> tuple[bytes, ...]:
    """Return JPEGs with all that may stand before the pixels, and some of other kinds."""
    plain = image()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    blocks = [exif.tobytes()]
    for order in ("big", "little"):  # values of every type, one directory that is shorter than it says
        for tag, kind, value in (
            (0x0112, 3, 8),
            (0x0112, 9, 6),
            (0x0112, 6, 0xFF),
            (0x8825, 9, 0xFFFFFFFF),
            (0x8825, 4, 8),
        ):
            parts = [(8, 4), (9, 2), (tag, 2), (kind, 2), (1, 4)]
            tiff = (b"MM\0*" if order == "big" else b"II*\0") + b"".join(
                number.to_bytes(size, order) for number, size in parts
            )
            size = {3: 2, 6: 1}.get(kind, 4)
            blocks.append(b"Exif\0\0" + tiff + value.to_bytes(size, order).ljust(4, b"\0"))
    blocks += [b"Exif\0\0" + blocks[0], b"Exif\0\0II", blocks[0] + bytes(9000)]
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    blocks += [xmp + b"tiff:Orientation='3'", xmp + b"exif:GPSLatitude", xmp + b"nothing", b"other"]
    start, rest = plain[:2], plain[2:]
    found = [plain, *(start + segment(0xE1, block) + rest for block in blocks)]
    found.append(start + segment(0xE1, blocks[0]) + segment(0xE1, blocks[1]) + rest)
    found.append(start + segment(0xE1, blocks[-4]) + segment(0xE1, blocks[0]) + segment(0xFE, bytes(20_000)) + rest)
    found += [start + b"\0junk" + rest, start + b"\xff" + rest, start + b"\xff\x01" + rest, start + b"\xff\xd9" + rest]
    for mode in ("L", "CMYK"):
        out = io.BytesIO()
        Image.new(mode, (9, 7)).save(out, "JPEG", progressive=True)
        found.append(out.getvalue())
    found += [b"", b"\xff\xd8\xff", *(plain[:size] for size in (20, 100, 160, 400)), image(5, 4, "PNG"), image(40, 30)]
    return tuple(found)


@st.composite
def members(draw: st.DrawFn) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    stems = draw(st.lists(_STEMS, max_size=5))
    for stem in stems:
        for extension in draw(st.lists(_EXTENSIONS, min_size=1, max_size=4)):
            is_image = extension.lower() in ("jpg", "jpeg", "png")
            pool = images() if is_image else _JSONS if extension == "json" else _TEXTS
            member = tarfile.TarInfo(f"{stem}.{extension}" if extension else stem)
            member.mtime = draw(st.sampled_from([0, 1.5]))
            member.uname = draw(st.sampled_from(["", "ü"]))
            member.type = draw(
                st.sampled_from([*[tarfile.REGTYPE] * 9, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
            )
            member.pax_headers = draw(st.sampled_from([*[{}] * 9, {"path": "z.jpg"}, {"comment": "c"}, {"size": "3"}]))
            found.append((member, draw(st.sampled_from(pool))))
    return found


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    """Return (where, which value, whether the header's checksum is made right) of bytes that are changed."""
    one = st.tuples(st.integers(0, 1 << 14), st.integers(0, 255), st.booleans())
    return draw(st.lists(one, max_size=3))


def broken(data: bytes, changes: list[tuple[int, int, bool]], end: int | None) -> bytes:
    out = bytearray(data)
    for at, value, right in changes:
        at %= len(out)
        out[at] = value
        block = at // 512 * 512
        if right:
            out[block + 148 : block + 156] = b" " * 8
            out[block + 148 : block + 156] = b"%06o\0 " % sum(out[block : block + 512])
    return bytes(out[:end])


def scanned(path: Path, config: Config, **how: Any) -> tuple[Any, ...]:
    unit = Unit(
        source=0, kind="tars", url=str(path), name="0.tar", prefix="", size_bytes=path.stat().st_size, version="1",
        mtime_ns=5,
    )  # fmt: skip
    try:
        rows, facts = tars.scan_unit(unit, config, **how)
    except SourceError as error:
        return (str(error),)
    return rows.read().to_pylist(), facts


class InBlocks(RandomFile):
    """A file as one that is far away is read."""

    def __init__(self, path: Path, block_bytes: int) -> None:
        super().__init__("memory://tars/0.tar", size_bytes=path.stat().st_size)
        data = path.read_bytes()

        def pieces(start: int) -> Generator[bytes, None, None]:
            yield from (data[at : at + block_bytes] for at in range(start, len(data), block_bytes))

        self._forward = Forward(pieces, lambda start, stop: data[start:stop], len(data), shown_bytes=block_bytes // 3)


def scanned_in_blocks(path: Path, config: Config, block_bytes: int) -> tuple[tuple[Any, ...], int]:
    """Return what scanning a tar far away gives, and how many samples compiled code took."""
    taken = 0

    @contextmanager
    def opened(*_: Any) -> Iterator[RandomFile]:
        with InBlocks(path, block_bytes) as file:
            yield file

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal taken
        position, samples = tarwalk.plain_samples(*args, **named)
        taken += len(samples)
        return position, samples

    with mock.patch.object(tars, "open_tar", opened), mock.patch.object(tars, "plain_samples", counted):
        return scanned(path, config), taken


def both_ways(data: bytes, config: Config) -> int:
    """Hold the two ways against each other; return how many samples compiled code took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.tar"
        path.write_bytes(data)
        taken = 0

        def counted(*args: Any, **named: Any) -> Any:
            nonlocal taken
            position, samples = tarwalk.plain_samples(*args, **named)
            taken += len(samples)
            return position, samples

        with mock.patch.object(tars, "plain_samples", counted):
            compiled = scanned(path, config)
        with mock.patch.object(tarwalk, "_walk", None):
            assert compiled == scanned(path, config)
        in_child = scanned(path, config, look=lambda *args, **named: look_at(*args, **named))
        assert in_child == compiled
    return taken


_CONFIGS = st.sampled_from(
    [Config(), Config(id_column="score"), Config(max_pixels=500), Config(caption_column=("txt", "cls"))]
)


@given(
    found=members(),
    kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    changes=damages(),
    end=st.one_of(st.none(), st.none(), st.integers(0, 1 << 14)),
    config=_CONFIGS,
)
@settings(max_examples=200, deadline=None)
@example(found=[], kind=tarfile.USTAR_FORMAT, changes=[], end=None, config=Config())
def test_compiled_code_and_python_see_the_same(
    found: list[tuple[tarfile.TarInfo, bytes]],
    kind: int,
    changes: list[tuple[int, int, bool]],
    end: int | None,
    config: Config,
) -> None:
    try:
        data = tar(found, kind=kind)
    except ValueError:  # a name too long for ustar
        data = tar(found, kind=tarfile.PAX_FORMAT)
    both_ways(broken(data, changes, end), config)


def test_every_header_beside_every_other() -> None:
    found: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for number, data in enumerate(images()):
        found += [(f"{number:04d}.jpg", data), (f"{number:04d}.txt", _TEXTS[number % len(_TEXTS)])]
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert both_ways(tar(found, kind=kind), Config()) > len(images()) // 2


def test_the_usual_tar_is_taken_whole() -> None:
    members: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for number in range(700):
        member = tarfile.TarInfo(f"{number:05d}.jpg")
        member.mtime = 1.5  # a pax header
        members += [(member, image()), (f"{number:05d}.txt", b"a photo")]
    assert both_ways(tar(members), Config()) == 700


def test_a_broken_byte_in_a_jpeg_s_header_changes_both_ways_alike() -> None:
    good = images()[1]
    for at in range(0, 400, 3):
        for value in (0, 0xFF, good[at] ^ 0x10):
            data = bytearray(good)
            data[at] = value
            size = tar([("a.jpg", bytes(data)), ("a.txt", b"t"), ("b.jpg", good)])
            both_ways(size, Config())


@given(
    found=members(),
    kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    changes=damages(),
    end=st.one_of(st.none(), st.integers(1 << 10, 1 << 14)),
    config=_CONFIGS,
    block_bytes=st.one_of(st.integers(100, 6_000), st.integers(6_000, 1 << 16)),
)
@settings(max_examples=100, deadline=None)
def test_blocks_of_any_size_give_the_rows_of_the_file(
    found: list[tuple[tarfile.TarInfo, bytes]],
    kind: int,
    changes: list[tuple[int, int, bool]],
    end: int | None,
    config: Config,
    block_bytes: int,
) -> None:
    try:
        data = tar(found, kind=kind)
    except ValueError:  # a name too long for ustar
        data = tar(found, kind=tarfile.PAX_FORMAT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.tar"
        path.write_bytes(broken(data, changes, end))
        rows, _ = scanned_in_blocks(path, config, block_bytes)
        assert rows == scanned(path, config)


@pytest.mark.parametrize("block_bytes", [512, 5_120, 20_480, 1 << 20])
def test_all_but_the_last_sample_of_a_block_is_taken(block_bytes: int, tmp_path: Path) -> None:
    members: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for number in range(300):
        members += [(f"{number:05d}.jpg", image()), (f"{number:05d}.txt", b"a photo")]
    path = tmp_path / "0.tar"
    path.write_bytes(tar(members))
    rows, taken = scanned_in_blocks(path, Config(), block_bytes)
    assert rows == scanned(path, Config())
    assert 300 - 1 - path.stat().st_size // block_bytes <= taken <= 300

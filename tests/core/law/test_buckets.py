from __future__ import annotations

import pytest

from hfbucket.core.law.buckets import SDXL, Bucket, parse_protos, scaled_buckets
from hfbucket.errors import ConfigError


def test_the_default_table() -> None:
    assert len(SDXL) == len(set(SDXL)) == 40
    assert (SDXL[0], SDXL[15], SDXL[-1]) == ((2048, 512), (1152, 832), (512, 2048))
    assert (1344, 704) in SDXL
    assert (704, 1344) not in SDXL


def test_ids_name_the_proto_and_with_several_bases_the_base() -> None:
    (one,) = scaled_buckets([512], [(1152, 832)], 32)
    assert one == Bucket(bucket_id="p1152x832", base=512, proto_w=1152, proto_h=832, w=576, h=416)
    assert [bucket.bucket_id for bucket in scaled_buckets([256, 512], [(1152, 832)], 32)] == [
        "r512_p1152x832", "r256_p1152x832",
    ]  # fmt: skip


def test_protos_that_collapse_are_one_bucket_named_by_the_first() -> None:
    low = scaled_buckets([256], SDXL, 32)
    by_size = {(bucket.w, bucket.h): bucket.bucket_id for bucket in low}
    assert len(by_size) == len(low) == 22
    assert by_size[288, 192] == "p1216x832"  # 1152x832 scales to the same


def test_zero_sides_are_dropped() -> None:
    assert [bucket.bucket_id for bucket in scaled_buckets([32], [(2048, 512), (1024, 1024)], 32)] == ["p1024x1024"]
    with pytest.raises(ConfigError, match=r"base \[16\] and divisible 32 leave no bucket"):
        scaled_buckets([16], SDXL, 32)


def test_no_bucket_is_larger_than_jpeg() -> None:
    with pytest.raises(ConfigError, match="p65501x512: sides must be at most 65500 px, the limit of JPEG"):
        scaled_buckets([1024], [(65501, 512)], 1)


def test_more_buckets_than_int16_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 32767 buckets, got 32768"):
        scaled_buckets([1024], [(side, 7) for side in range(1, 32769)], 1)


def test_a_table_is_one_size_a_line() -> None:
    assert parse_protos("# ours\n1152x896  # wide\n\n 896X1152\r\n") == ((1152, 896), (896, 1152))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1024x1024\n1024*768", "protos, line 2: must be WxH in pixels such as 1152x896, got '1024.768'"),
        ("0x512", "line 1: must be WxH"),
        ("1024x1024\n\n1024x1024", "line 3: 1024x1024 stands in line 1 already"),
        ("# nothing", "expected one WxH a line, got none"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_protos(text)

"""Names of an export's files."""

from __future__ import annotations

from hfbucket.core.keys import safe_file


def test_safe_names_pass() -> None:
    assert safe_file("buckets/p1x1/shard-00000.tar") == "buckets/p1x1/shard-00000.tar"
    assert safe_file("buckets/été/a b.tar") == "buckets/été/a b.tar"

"""The one reader of the clock for what is written into an export."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from hfbucket.errors import ConfigError


def created() -> str:
    """Return the time to write into a manifest, RFC 3339 in UTC: now, or SOURCE_DATE_EPOCH where that is set.

    Raises:
        ConfigError: SOURCE_DATE_EPOCH is no number of seconds (reproducible-builds.org/specs/source-date-epoch).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f"SOURCE_DATE_EPOCH must be seconds since 1970, got {epoch!r}: {error}") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

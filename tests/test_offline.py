"""That nothing which the tests import brings them online."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi, close_session, constants
from huggingface_hub.errors import OfflineModeIsEnabled


def test_the_tests_are_offline() -> None:
    assert "hfbucket-tests-" in constants.HF_HOME
    close_session()  # of a test before this one that was let out to a Hub on the loopback
    with pytest.raises(OfflineModeIsEnabled):
        HfApi().whoami(token="hf_none")

"""The Hub, as far as loading needs it: which commit a dataset repository stands at."""

from __future__ import annotations

from hfbucket import __version__
from hfbucket.errors import SourceError
from hfbucket.io.stream import remote_errors


def dataset_commit(repo_id: str, revision: str | None = None, token: str | bool | None = None) -> str:
    """Return the commit hash that `revision` of a dataset repository (default: its main branch) stands for.

    Raises:
        SourceError: there is no such repository or revision, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    api = HfApi(library_name="hfbucket", library_version=__version__, token=token)
    at = f"{repo_id}@{revision}" if revision else repo_id
    try:
        with remote_errors(f"hf://datasets/{repo_id}"):
            return str(api.dataset_info(repo_id, revision=revision).sha)
    except HFValidationError as error:
        raise SourceError(f"{repo_id}: neither a folder here nor the name of a dataset on the Hub ({error})") from error
    except OfflineModeIsEnabled as error:
        raise SourceError(f"{at}: the Hub is switched off (HF_HUB_OFFLINE); give the folder of an export") from error
    except OSError as error:  # what every answer of the Hub but a good one becomes
        raise SourceError(
            f"{at}: the Hub has no such dataset for you; check the name and the revision, and log in with "
            f"`hf auth login` where it is private or gated ({error})"
        ) from error

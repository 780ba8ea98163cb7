"""Every error this package raises on purpose.

    HfBucketError
    ├── ConfigError          (ValueError)   a setting, a flag or hfbucket.toml
    ├── SourceError                         a source that cannot be read or makes no sense
    ├── FormatError          (ValueError)   a manifest, shard or card that breaks the format
    │   └── UnsupportedVersionError         a newer format than this release knows
    ├── BuildError                          a build that cannot start, go on or finish
    │   ├── TooManyFailuresError            more undecodable images than allowed
    │   └── PlanMismatchError               the plan is not the one that was expected
    ├── WorkspaceError                      a caption workspace that cannot be opened, read or written
    ├── ChangeError                         a finished export that cannot be changed
    ├── VerifyError                         an export that breaks its promises
    ├── PushError                           a push that cannot start, go on or finish
    ├── PullError                           a pull that cannot start, go on or finish
    ├── MissingDependencyError (ImportError)
    └── SampleError                         one bad sample: data, never the end of a build

Every message names the place, what was expected, what was got, and what to do.
"""

from __future__ import annotations


class HfBucketError(Exception):
    """Root of the tree; never raised itself. `exit_code` is what the command line exits with."""

    exit_code = 1


class ConfigError(HfBucketError, ValueError):
    """A setting is unknown, of the wrong type, or out of range."""

    exit_code = 2


class SourceError(HfBucketError):
    """A source cannot be read, is empty, or contradicts itself."""

    exit_code = 2


class FormatError(HfBucketError, ValueError):
    """A file of an export breaks the format.

    Args:
        where: the file and the place in it, such as `manifest.json: buckets['p1024x1024'].count`.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class UnsupportedVersionError(FormatError):
    """The export was written in a format this release does not know."""


class BuildError(HfBucketError):
    """A build cannot start, go on or finish; what is done stays done."""


class TooManyFailuresError(BuildError):
    """More images could not be decoded than `--max-failure-ratio` allows."""


class PlanMismatchError(BuildError):
    """The plan differs from `--expect-plan`, or the settings from those of the existing export."""

    exit_code = 2


class WorkspaceError(HfBucketError):
    """A caption workspace cannot be opened, read or written; what was committed to it stays."""


class ChangeError(HfBucketError):
    """A finished export cannot be changed as asked; it stays as it was, or the same command ends the change."""


class VerifyError(HfBucketError):
    """An export breaks promises of the format."""


class PushError(HfBucketError):
    """A push cannot start, go on or finish; what has arrived stays, and the same command continues."""


class PullError(HfBucketError):
    """A pull cannot start, go on or finish; what has arrived stays, and the same command continues."""


class MissingDependencyError(HfBucketError, ImportError):
    """An optional package is needed; the message ends in its install command."""


class SampleError(HfBucketError):
    """One image cannot be exported: caught by the one guard around each sample and written to the ledger.

    Args:
        outcome: one of `core.outcomes.OUTCOMES`.
        detail: the decoder's own words, without paths of this machine.
    """

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail

    def __reduce__(self) -> tuple[type[SampleError], tuple[str, str]]:
        return (SampleError, (self.outcome, self.detail))


def changed(place: str, member: str = "") -> SourceError:
    """Return the error of a source that is not any more what was listed."""
    what = f"{place}: {member}" if member else place
    return SourceError(f"{what} changed after it was planned; run the same command again, and it is planned anew")

"""The command line: registers the commands and turns errors into one line and an exit code.

A command lives in `hfbucket/cli/<name>.py` as `command`, and is imported only when it is called, so that
`hfbucket --help` answers at once.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import click

from hfbucket import __version__
from hfbucket.errors import HfBucketError

COMMANDS = {
    "plan": "Show what a build would write: buckets, skips, crop loss, bytes. Writes nothing.",
    "build": "Write the export: shards, manifest and card. Run it again to continue.",
    "verify": "Check every promise of an export.",
    "recaption": "Select captions anew in a finished export; images stay where they are.",
    "remove": "Take samples out of a finished export; the rest stays as it is.",
    "card": "Change the words of a finished export's card.",
    "push": "Send an export to the Hub, a Storage Bucket or a folder: complete or invisible. Run it again to continue.",
    "pull": "Bring an export, or a part of it, from the Hub into a folder. Run it again to continue.",
    "workspace": "Keep captions of many kinds for the images of a source or export in one SQLite file.",
    "extract": "Unpack an export, or webdataset tars, to plain files. Run it again to continue.",
    "explain": "Show how one image size gets its bucket and its crop.",
    "why": "Tell what became of one input, or list the inputs that were left out.",
}
"""Every command with its line in the help, in the order of the work."""

_OWN_PROCESS = object()
"""What the context is given where nothing but this command line runs in the process."""


class _LazyGroup(click.Group):
    """A group that imports a command when it is called; its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        if ctx.obj is _OWN_PROCESS:
            from hfbucket.io.arrow import spare_pandas  # every command needs pyarrow, the help does not

            spare_pandas()
        command: click.Command = importlib.import_module(f"hfbucket.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Each command has its own --help. Settings may also stand in ./hfbucket.toml; a flag wins over the file.",
)
@click.version_option(__version__, prog_name="hfbucket", message="%(prog)s %(version)s")
def group() -> None:
    """Sort captioned images into aspect-ratio buckets (not the Hub's Storage Buckets) for text-to-image training.

    \b
    hfbucket plan photos/                 what would come out; nothing is written
    hfbucket build photos/ -o export      shards, manifest and card
    hfbucket verify export                every promise of the format, checked
    hfbucket push export me/my-dataset    to the Hub: complete or invisible
    hfbucket pull me/my-dataset           back into a folder, or a part of it
    """


def console() -> NoReturn:
    """Run the command line and end the process with its exit code.

    It ends at once, without taking the interpreter apart: native threads of libraries, such as pyarrow's, may abort a
    process while that happens (apache/arrow#45214), and work that is done would look as if it had failed.
    """
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C: a build is told to end, and says how it stands
    # pyarrow's other pools keep tens to hundreds of megabytes that are free; this one is no slower here.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    code = main(obj=_OWN_PROCESS)
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def main(arguments: list[str] | None = None, *, obj: object = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        result = group.main(args=arguments, prog_name="hfbucket", standalone_mode=False, obj=obj)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What is done stays done; the same command continues.", err=True)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HfBucketError, OSError) as error:
        from hfbucket.io.hub.errors import redacted

        if os.environ.get("HF_DEBUG") == "1":
            click.echo(redacted(traceback.format_exc(), None), err=True)
        click.echo(f"Error: {redacted(str(error), None)}", err=True)
        return error.exit_code if isinstance(error, HfBucketError) else 1
    return result if isinstance(result, int) else 0

"""The group: its help, its errors and exit codes, all output modes of a notice."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from hfbucket import __version__
from hfbucket.cli import main as cli
from hfbucket.cli import options, output
from hfbucket.config import Config
from hfbucket.core.events import Notice, Progress
from hfbucket.errors import BuildError, SourceError


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    """A command that is run in place of `plan`; it fills and obeys the dict."""
    seen: dict[str, object] = {}

    @click.command(cls=options.SettingsCommand)
    @options.config_options(*options.CONTENT, "workers")
    @output.json_option
    def command(config: Config, as_json: bool) -> None:
        seen.update(config=config, base_given=options.was_given("base"))
        if isinstance(seen.get("raise"), BaseException):
            raise seen["raise"]  # type: ignore[misc]
        with output.events() as on_event:
            on_event(Notice(level="warning", text="low disk"))
            on_event(Progress(stage="writing", done=1, total=2, unit="image"))
        output.show({"a": "é"}, as_json=as_json, text=lambda: "a is é")

    def get_command(self: click.Group, ctx: click.Context, name: str) -> click.Command:
        return command

    monkeypatch.setattr(cli._LazyGroup, "get_command", get_command)
    monkeypatch.chdir(tmp_path)
    return seen


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_says_what_buckets_are_meant(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert "aspect-ratio buckets (not the Hub's" in out.splitlines()[2]
    for name in cli.COMMANDS:
        assert f"  {name} " in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    below = list(command.commands.items()) if isinstance(command, click.Group) else []
    for words, each in [([name], command), *(([name, part], found) for part, found in below)]:
        assert each.get_short_help_str(), words
        options_of = [param for param in each.params if isinstance(param, click.Option)]
        assert [option.name for option in options_of if not option.help] == []
        assert "--json" in {flag for option in options_of for flag in option.opts} or (each is command and below)
        assert run(capsys, *words, "--help")[0] == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"hfbucket {__version__}\n", "")


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hfbucket.cli.main import main; main(['--help'])\n"
        "heavy = {'numpy', 'pyarrow', 'pandas', 'datasets', 'PIL', 'fsspec', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - start < 10  # a fraction of a second on a machine with nothing else to do


def test_a_build_begins_without_what_only_its_end_and_terminals_take() -> None:
    """Workers wait for these imports, users for workers."""
    code = (
        "import sys; import hfbucket.cli.build\n"
        "late = {'huggingface_hub', 'datasets', 'jinja2', 'yaml', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imported {late}' if late else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_bar_on_a_terminal_has_the_notices_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    with output.events() as on_event:
        on_event(Notice(level="info", text="before"))
        on_event(Progress(stage="writing", done=0, total=4, unit="images"))
        on_event(Notice(level="warning", text="meanwhile"))
        on_event(Progress(stage="writing", done=4, total=4, unit="images"))
        on_event(Progress(stage="folding", done=1, total=2, unit="images"))
    said = screen.getvalue().replace("\r", "\n").splitlines()
    lines = [line.strip() for line in said if line.strip()]
    assert lines[0] == "before"
    assert [line for line in lines if line.startswith("Warning")] == ["Warning: meanwhile"]
    assert any(line.startswith("writing:") and "4/4" in line for line in lines)
    assert lines[-1].startswith("folding:")


def test_unknown_commands_and_flags_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "paln")
    assert (code, out) == (2, "")
    assert "No such command 'paln'" in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SourceError("photos: is empty"), 2, "Error: photos: is empty\n"),
        (BuildError("disk full"), 1, "Error: disk full\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "Error: [Errno 13] Permission denied: 'x'\n"),
        (KeyboardInterrupt(), 130, "Interrupted. What is done stays done; the same command continues.\n"),
    ],
)
def test_errors_are_one_line(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    probe["raise"] = error
    result, out, err = run(capsys, "plan")
    assert (result, out) == (code, "")
    assert err.lstrip("\n") == line


def test_hf_debug_shows_the_traceback(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DEBUG", "1")
    probe["raise"] = BuildError("disk full")
    code, _, err = run(capsys, "plan")
    assert code == 1
    assert "Traceback" in err
    assert err.endswith("Error: disk full\n")


def test_no_error_and_no_traceback_shows_a_token(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DEBUG", "1")
    monkeypatch.setenv("HF_TOKEN", "of-another-form")
    probe["raise"] = BuildError("illegal header b'Bearer hf_SecretSecret', of-another-form")
    _, _, err = run(capsys, "plan")
    assert err.count("illegal header b'Bearer ***', ***") == 2


def test_data_goes_to_stdout_and_notices_to_stderr(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "plan") == (0, "a is é\n", "Warning: low disk\n")
    assert run(capsys, "plan", "--json") == (0, '{\n  "a": "é"\n}\n', "Warning: low disk\n")


def test_progress_shows_rate_and_time_left_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown(stream: io.StringIO) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        with output.events() as on_event:
            for stage in ("index", "write"):
                on_event(Progress(stage=stage, done=0, total=4, unit="images"))
                on_event(Progress(stage=stage, done=4, total=4, unit="images"))
        return stream.getvalue()

    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    assert shown(Terminal()) == ""
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS")
    assert shown(io.StringIO()) == ""
    text = shown(Terminal())
    assert "index: 100%" in text
    assert "write: 100%" in text
    assert "4/4 [00:00<00:00" in text
    assert "images/s]" in text


def test_flags_win_over_the_file_and_the_file_over_defaults(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("hfbucket.toml").write_text('base = [512, 256]\nquality = 90\nmax-shard-size = "1MB"\ntitle = "T"\n')
    assert run(capsys, "plan", "--quality", "80", "--no-source-hash")[0] == 0
    assert probe["config"] == Config(
        base=(512, 256), quality=80, max_shard_size=1_000_000, title="T", source_hash=False
    )
    assert probe["base_given"] is True
    Path("hfbucket.toml").unlink()
    assert run(capsys, "plan")[0] == 0
    assert (probe["config"], probe["base_given"]) == (Config(), False)


def test_source_order_wins_over_a_shuffle_in_the_file(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("hfbucket.toml").write_text("shuffle = 3")
    assert run(capsys, "plan")[0] == 0
    assert probe["config"] == Config(shuffle=3)
    assert run(capsys, "plan", "--order", "source")[0] == 0
    assert probe["config"] == Config()
    code, _, err = run(capsys, "plan", "--order", "source", "--shuffle", "1")
    assert (code, err) == (2, "Error: --order source and --shuffle are opposites; give one of them\n")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("qualty = 3", "s.toml: unknown setting 'qualty'; did you mean 'quality'?"),
        ("quality = 300", "s.toml: quality must be a whole number from 1 to 100, got 300"),
        ("[build]\nbase = 3", "s.toml: unknown setting 'build'"),
        ("quality = ", "s.toml: is no TOML"),
        (None, "s.toml: no such settings file; check --config"),
    ],
)
def test_bad_files_are_refused(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str], toml: str | None, message: str
) -> None:
    if toml is not None:
        Path("s.toml").write_text(toml)
    code, out, err = run(capsys, "plan", "--config", "s.toml")
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {message}")


def test_every_setting_has_a_flag_with_help(probe: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", "--help")
    assert code == 0
    assert "What is written:" in out
    assert "How it runs:" in out
    for name in options.CONTENT:
        assert f"--{name.replace('_', '-')}" in out


def test_the_flags_of_a_config_give_the_config_back(
    probe: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(base=(512, 64), corners=(3, 1), strip_metadata=True, source_hash=False, shuffle=7, rare="merge")
    assert run(capsys, "plan", *config.flags("content"))[0] == 0
    assert probe["config"] == config


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["explain", "nonsense"], 2)])
def test_the_console_ends_with_the_exit_code(arguments: list[str], code: int) -> None:
    script = "import atexit; atexit.register(print, 'put away'); from hfbucket.cli.main import console; console()"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == code
    assert "put away" in done.stdout
    assert ("Error" in done.stderr) == bool(code)

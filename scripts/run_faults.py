"""Let the disk fail at every step of every command, and check what that leaves and that the same command mends it.

    python scripts/run_faults.py [--command NAME]... [--per-site 2] [--seed 1] [--json FILE]

An undisturbed run tells the steps; then each kind of fault meets steps of every site (what is done to which file; of
alike names up to `--per-site`, drawn by the seed), each in a process of its own. Checked each time: the command ends,
well or with one error of hfbucket that tells no token; what was a whole export is whole, or is refused by those who
read it, or is the new one; and the same command run again ends in the bytes and with the files of an undisturbed run.
Where a fault leaves what an earlier one has left, down to the last byte, the second run is not done once more. All
commands with `--per-site 1` take about 25 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.commands import COMMANDS
from tests.faults.disk import Fault
from tests.faults.trials import REQUEST_KINDS, Broken, Trial, faults_of


def drawn(trial: Trial, per_site: int, at_most: int | None, chance: random.Random) -> list[Fault | tuple[str, int]]:
    """Return the faults to try; of too many, about as many of every kind at every kind of step."""
    faults: list[Fault | tuple[str, int]] = list(faults_of(trial.steps, trial.sizes, per_site, chance))
    faults += [(kind, number + 1) for kind in REQUEST_KINDS for number in range(trial.requests)]
    chance.shuffle(faults)
    before: Counter[tuple[str, str]] = Counter()
    ranked = []
    for fault in faults:
        alike = (fault.kind, fault.step.does) if isinstance(fault, Fault) else (fault[0], "request")
        ranked.append((before[alike], fault))
        before[alike] += 1
    return [fault for _, fault in sorted(ranked, key=lambda pair: pair[0])][:at_most]


def run(
    root: Path, name: str, *, seed: int, per_site: int, at_most: int | None = None
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Try faults on one command; return how it ended, counted by kind, and what was not survived."""
    chance = random.Random(f"{seed} {name}")
    trial = Trial(root, name)
    print(f"{name}: {len(trial.steps)} steps, {trial.requests} requests", file=sys.stderr, flush=True)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    broken = []
    for fault in drawn(trial, per_site, at_most, chance):
        kind = fault.kind if isinstance(fault, Fault) else f"request: {fault[0]}"
        try:
            end = trial.fail(fault) if isinstance(fault, Fault) else trial.fail_request(*fault)
        except Broken as error:
            end = "broken"
            broken.append(f"{name}, seed {seed}, {fault}: {error}")
            print(broken[-1][-2000:], file=sys.stderr, flush=True)
        counts[kind][end] += 1
    return counts, broken


def table(found: dict[str, dict[str, Counter[str]]]) -> Iterator[str]:
    """Yield the lines of a table of commands and kinds: faults met and survived."""
    ends_in = f"{'ended well':>10} {'with error':>10} {'killed':>6}"
    yield f"{'command':<22} {'fault':<20} {'injected':>8} {'survived':>8} {ends_in}"
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for name, kinds in found.items():
        for kind, ends in kinds.items():
            yield _line(name, kind, ends)
            by_kind[kind] += ends
    for kind, ends in by_kind.items():
        yield _line("all", kind, ends)
    yield _line("all", "all", sum(by_kind.values(), Counter()))


def _line(name: str, kind: str, ends: Counter[str]) -> str:
    met = ends.total() - ends["not met"]
    return (
        f"{name:<22} {kind:<20} {met:>8} {met - ends['broken']:>8} {ends['ok']:>10} {ends['error']:>10} "
        f"{ends['killed']:>6}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Try, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=list(COMMANDS))
    parser.add_argument("--per-site", type=int, default=2)
    parser.add_argument("--at-most", type=int, help="faults of each command, drawn by the seed")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    os.environ |= {"SOURCE_DATE_EPOCH": "1700000000", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    found, broken = {}, []
    started = time.monotonic()
    for name in options.command or COMMANDS:
        with tempfile.TemporaryDirectory(prefix="faults-") as root:
            found[name], failed = run(
                Path(root), name, seed=options.seed, per_site=options.per_site, at_most=options.at_most
            )
            broken += failed
    print(f"seed {options.seed}, {time.monotonic() - started:.0f} s", *table(found), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "commands": found, "broken": broken}, indent=1))
    if broken:
        raise SystemExit(f"{len(broken)} faults were not survived")


if __name__ == "__main__":
    main()

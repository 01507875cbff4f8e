"""A million samples through the product's own commands, and ten million rows asked.

    python -m benchmarks.size [--samples 1000000] [--json FILE] [--folder FOLDER]
    python -m benchmarks.size --rows 10000000

The first makes invented records, imports them, scores them with the fake engine, maps them,
chooses a tenth, exports it and replays the export; then the pool grows by a hundredth and is
scored again. Each step is a process of its own, with its time and the most memory it had, beside
the bound that is stated for it, and a check that its counts balance. The second: see
`benchmarks/size_rows.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.suite import balance
from benchmarks.suite.balance import Check

POOL = "size"
GROWN = 100  # the pool grows by one sample in so many
FAKE = ("--model", "fake", "--device", "cpu", "--executor", "serial")
SPREAD = ("--set", "k=2", "--set", "max_new_tokens=8", "--set", "bins=100")


@dataclass(frozen=True)
class Step:
    """A command, how many samples it goes over, and the most memory it may take.

    In GB: `base` for libraries and windows, `each` for a million samples.
    """

    name: str
    words: tuple[str, ...]
    n: int
    base: float
    each: float
    check: Check

    @property
    def bound(self) -> float:
        """GB."""
        return self.base + self.each * self.n / 1e6


@dataclass(frozen=True)
class Row:
    """What a step took. `wrong` says which count does not balance; empty for none."""

    name: str
    n: int
    seconds: float
    peak_gb: float
    bound_gb: float
    wrong: str

    def line(self) -> str:
        """For a person."""
        rate = self.n / max(self.seconds, 1e-9)
        fits = "" if self.peak_gb <= self.bound_gb else "  ABOVE ITS BOUND"
        return (
            f"{self.name:34} {self.seconds:8.1f} s {rate:10,.0f} samples/s"
            f" {self.peak_gb:6.2f} GB of {self.bound_gb:.2f}{fits}"
            f"  {self.wrong or 'counts balance'}"
        )


@click.command(help=__doc__)
@click.option("--samples", "n", default=1_000_000, show_default=True)
@click.option("--rows", default=0, help="Ask so many rows instead.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures there.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where, and keep what was made.")
def main(n: int, rows: int, out: Path | None, folder: Path | None) -> None:
    """Measure; see the module."""
    with tempfile.TemporaryDirectory(dir=folder and folder.parent) as scratch:
        place = folder or Path(scratch)
        if rows:
            found = [place / "rows.json"]
            command = [sys.executable, "-m", "benchmarks.size_rows", str(place), str(rows)]
            if subprocess.run([*command, str(found[0])], check=False).returncode:
                raise SystemExit(1)
            figures = json.loads(found[0].read_text("utf8"))
        else:
            done = [*through(place, n)]
            figures = [asdict(row) for row in done]
            if any(row.wrong or row.peak_gb > row.bound_gb for row in done):
                click.echo("a step is above its bound, or its counts do not balance")
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n", "utf8")


def through(folder: Path, n: int) -> Iterator[Row]:
    """Every step, told as it ends; stops at the first one that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for begin, many in ((0, n), (n, max(1, n // GROWN))):
        words = ["records", str(_records(folder, begin)), str(many), str(begin)]
        _ran(folder, words)
    for step in steps(folder, n):
        began = time.perf_counter()
        said, peak, code = _ran(folder, step.words)
        wrong = step.check(said) if code == 0 else f"ended with {code}: {said[-500:]}"
        seconds = time.perf_counter() - began
        row = Row(step.name, step.n, seconds, peak, step.bound, wrong)
        click.echo(row.line())
        yield row
        if code:
            return


def _records(folder: Path, begin: int) -> Path:
    return folder / f"records-{begin}.jsonl"


def steps(folder: Path, n: int) -> list[Step]:
    """The commands in their order."""
    more = max(1, n // GROWN)
    chosen = n // 10
    score = ("score", POOL)
    made = [
        Step("import", ("import", *_import(folder, 0)), n, 0.5, 2.0, balance.books(0, n, 0)),
        Step(
            "score, one number",
            (*score, "differential_entropy", *FAKE),
            n,
            0.9,
            1.2,
            balance.scored(n),
        ),
        Step(
            "score, vectors",
            (*score, "answer_divergence", *SPREAD, *FAKE),
            n,
            0.9,
            1.6,
            balance.scored(n),
        ),
        Step(
            "map of the answers", ("map", POOL, "--of", "answers"), n, 1.2, 2.0, balance.placed(n)
        ),
    ]
    for kind in ("jsonl", "parquet"):
        out = str(folder / kind)
        words = ("select", POOL, "--method", "differential_entropy", "--budget", str(chosen))
        named = ("--file", kind, "--shape", "messages", "--out", out)
        select = Step(
            f"select {chosen:,}, {kind}", (*words, *named), n, 0.8, 0.5, balance.kept(n, chosen)
        )
        again = ("replay", str(folder / kind / "manifest.json"))
        made += [select, Step(f"replay, {kind}", again, n, 0.8, 0.5, balance.same)]
    base = (*score, "perplexity", *FAKE)
    grow = ("import", *_import(folder, n))
    return [
        *made,
        Step(f"import {more:,} more", grow, more, 2.5, 0.5, balance.books(n, more, n)),
        Step("score what is new", base, n + more, 0.9, 1.2, balance.measured_new(n, more)),
    ]


def _import(folder: Path, begin: int) -> tuple[str, ...]:
    return (str(_records(folder, begin)), "--pool", POOL)


def _ran(folder: Path, words: "tuple[str, ...] | list[str]") -> tuple[str, float, int]:
    """What a command said, the most memory it had in GB, and its exit code."""
    own = {"SFTLENS_CACHE": str(folder / "cache")}
    log = folder / "said.txt"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "benchmarks.suite.step", *words]
        child = subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)  # of this child alone
    child.returncode = os.waitstatus_to_exitcode(status)
    return log.read_text("utf8", "replace"), usage.ru_maxrss / 2**20, child.returncode


if __name__ == "__main__":
    main()

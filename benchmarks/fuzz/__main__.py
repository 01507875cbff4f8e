"""`python -m benchmarks.fuzz [--inputs 100000] [READER...]`: no input may raise what is not ours.

Each input depends on the seed, the reader and its number alone, so that one that breaks something
can be made again: `--seed S --only NUMBER READER`. The last input stays in a file that is named,
even if the process dies of it.
"""

import faulthandler
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import click

from benchmarks.fuzz.targets import Target, of_documents, of_files

SHOWN = 3  # failures of a reader whose trace is printed


@click.command()
@click.argument("readers", nargs=-1)
@click.option("--inputs", default=100_000, show_default=True, help="For each reader.")
@click.option("--seed", default=0, help="Of all inputs; by default another one each time.")
@click.option("--only", type=int, help="This input alone.")
def main(readers: tuple[str, ...], inputs: int, seed: int, only: int | None) -> None:
    """Fuzz readers (all of them by default) and print what became of the inputs."""
    faulthandler.enable()
    seed = seed or time.time_ns() % 10**9
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.environ["SFTLENS_CACHE"] = f"{folder}/cache"
        found = {**of_files(Path(folder)), **of_documents(Path(folder))}
        if unknown := [name for name in readers if name not in found]:
            raise click.UsageError(f"Unknown: {', '.join(unknown)}. Known: {', '.join(found)}.")
        click.echo(f"seed {seed}, {inputs:,} inputs each")
        numbers = range(inputs) if only is None else range(only, only + 1)
        broken = sum(_fuzz(n, found[n], seed, numbers) for n in readers or found)
    sys.exit(1 if broken else 0)


def _fuzz(name: str, target: Target, seed: int, numbers: range) -> int:
    """Try one reader on all of its inputs; returns how many raised what is not ours."""
    counts: Counter[str] = Counter()
    path = Path(tempfile.gettempdir()) / f"sftlens-fuzzed-{os.getpid()}.{name}"
    slowest, began = 0.0, time.monotonic()
    for number in numbers:
        data = target.make(random.Random(f"{seed}:{name}:{number}"))
        start = time.monotonic()
        try:
            counts[target.try_(path, data, number)] += 1
        except Exception:
            counts["unhandled"] += 1
            if counts["unhandled"] <= SHOWN:
                click.echo(f"{name} {number}: {data[:200]!r}\n{traceback.format_exc()}")
                click.echo(f"again: python -m benchmarks.fuzz --seed {seed} --only {number} {name}")
        slowest = max(slowest, time.monotonic() - start)
    path.unlink(missing_ok=True)
    took = time.monotonic() - began
    times = f"{took:,.0f} s, the slowest {slowest:.2f} s"
    told = ", ".join(f"{outcome} {n:,}" for outcome, n in counts.most_common())
    click.echo(f"{name}: {len(numbers):,} inputs in {times}: {told}")
    return counts["unhandled"]


if __name__ == "__main__":
    main()

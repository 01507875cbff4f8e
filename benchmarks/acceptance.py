"""The product used as a person uses it, through its command line, with the time of each step.

    python -m benchmarks.acceptance [demo] [import] [score] [killed] [--data ../shared/data]

demo: twice on an empty store, the model already fetched. import: 16,153 real samples, twice.
score: 75 samples of each of four sources with the embedded model, 10 % selected, exported in
every shape and replayed. killed: the demo undisturbed, and once more with kill -9 at four moments;
compares every stored number of both. Works in a folder of its own; the fetched model is shared.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from core import config, models, store
from core.methods import catalogue
from core.progress import Progress
from core.store import runs as stored

SOURCES = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")
METHOD = "differential_entropy"
KILLED_AFTER_S = (30, 60, 60, 75)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(["demo", "import", "score", "killed"]))
@click.option("--data", default=config.ROOT.parent / "shared" / "data", type=Path)
def main(names: tuple[str, ...], data: Path) -> None:
    """Run the steps; see the module."""
    model = Path(models.resolve("embedded", Progress()).folder)
    for name in names or ("demo", "import", "score"):
        with tempfile.TemporaryDirectory() as scratch:
            fresh_cache(Path(scratch) / "cache", model)
            click.echo(f"== {name}")
            STEPS[name](data, Path(scratch))


def demo(_: Path, __: Path) -> None:
    """The first line of the quickstart without the app, and once more."""
    sftlens("demo", "--no-app")
    sftlens("demo", "--no-app")


def import_(data: Path, _: Path) -> None:
    """The mixed pool, the rest of the real files, and the pool once more."""
    pool = [data / name for name in SOURCES]
    sftlens("import", *pool, "--pool", "mixed")
    sftlens("import", *pool, "--pool", "mixed")
    for path in sorted(p for p in data.iterdir() if p.suffix in (".json", ".jsonl")):
        if path not in pool:
            sftlens("import", path, "--query", path.stem)
    sftlens("pools")


def score(data: Path, scratch: Path) -> None:
    """Score 300 real samples, select a tenth, export in every shape, replay."""
    sftlens("import", *(data / name for name in SOURCES), "--pool", "mixed", "--limit", "75")
    sftlens("score", "mixed", METHOD)
    for shape in ("alpaca", "messages", "sharegpt"):
        for file in ("jsonl", "parquet"):
            out = scratch / f"{shape}-{file}"
            sftlens("select", "mixed", "--method", METHOD, "--budget", "10%", "--out", out,
                    "--shape", shape, "--file", file, "--scores", "--rejected")  # fmt: skip
            sftlens("replay", out / "manifest.json")


def killed(_: Path, scratch: Path) -> None:
    """The demo's numbers after four kills, beside those of an undisturbed demo."""
    model = Path(models.resolve("embedded").folder)
    sftlens("demo", "--no-app")
    right = stored_numbers()
    fresh_cache(scratch / "other", model)
    for after_s in KILLED_AFTER_S:
        command = [sys.executable, "-m", "core.cli", "demo", "--no-app"]
        with subprocess.Popen(command, cwd=config.ROOT, stderr=subprocess.DEVNULL) as process:
            time.sleep(after_s)
            process.kill()
        parts = len(list(config.folder("blocks").glob("*/part-*.npz")))
        click.echo(f"killed after {after_s} s with {parts} parts on disk")
    sftlens("demo", "--no-app")
    found = stored_numbers()
    for method in right:
        same = [
            name
            for name, column in right[method].items()
            if np.array_equal(column, found[method][name], equal_nan=True)
        ]
        click.echo(f"{method}: {len(same)} of {len(right[method])} columns equal to the last bit")


def stored_numbers() -> dict[str, dict[str, Any]]:
    """Every column of the newest run of each method on the demo pool."""
    found = {}
    for name, cls in catalogue().items():
        if cls.measures:
            with store.connect() as con:
                run = stored.newest_run(con, "demo", name)
                found[name] = stored.run_columns(con, run.run_id)
    return found


def fresh_cache(cache: Path, model: Path) -> None:
    """An empty cache in which the embedded model is there."""
    (cache / "models").mkdir(parents=True)
    (cache / "models" / model.name).symlink_to(model, target_is_directory=True)
    os.environ["SFTLENS_CACHE"] = str(cache)


STEPS = {"demo": demo, "import": import_, "score": score, "killed": killed}


def sftlens(*words: object) -> None:
    """Run one command; print what it says, its exit code and its time."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "core.cli", *map(str, words)]
    done = subprocess.run(command, cwd=config.ROOT, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    shown = " ".join(Path(str(w)).name if "/" in str(w) else str(w) for w in words)
    click.echo(f"$ sftlens {shown}\n{done.stdout.rstrip()}")
    click.echo(f"-> exit {done.returncode}, {took:.1f} s")
    if done.returncode:
        click.echo(done.stderr)


if __name__ == "__main__":
    main()

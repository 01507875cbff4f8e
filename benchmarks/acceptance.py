"""The product used as a person uses it, through its command line, with the time of each step.

    python -m benchmarks.acceptance [demo] [import] [score] [--data ../shared/data]

demo: twice on an empty store, the model already fetched. import: 16,153 real samples, twice.
score: 75 samples of each of four sources with the embedded model, 10 % selected, exported in
every shape and replayed. Works in a folder of its own; the fetched model is shared.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from core import config, models
from core.progress import Progress

SOURCES = ("gsm8k_train.jsonl", "codealpaca.json", "alpaca_en_demo.json", "gpteacher_roleplay.json")
METHOD = "differential_entropy"


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(["demo", "import", "score"]))
@click.option("--data", default=config.ROOT.parent / "shared" / "data", type=Path)
def main(names: tuple[str, ...], data: Path) -> None:
    """Run the steps; see the module."""
    model = Path(models.resolve("embedded", Progress()).folder)
    for name in names or ("demo", "import", "score"):
        with tempfile.TemporaryDirectory() as scratch:
            cache = Path(scratch) / "cache"
            (cache / "models").mkdir(parents=True)
            (cache / "models" / model.name).symlink_to(model, target_is_directory=True)
            os.environ["SFTLENS_CACHE"] = str(cache)
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


STEPS = {"demo": demo, "import": import_, "score": score}


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

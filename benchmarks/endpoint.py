"""Answers from a real server on this machine: `transformers serve` with the embedded model.

    python -m benchmarks.endpoint [--samples 48] [--answers 4] [--tokens 24]

Starts the server, draws answers to samples of the demo pool through it one request at a time and
eight at once, and scores them. Prints samples a second, what became of every sample, and how
dispersion and anisotropy rank the samples beside answers drawn without a server; beside that, how
two seeds without a server agree: nothing can agree better. Needs `pip install
"transformers[serving]"`. The server's copy of the model is told to sample, with no top-k.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click

from benchmarks.estimates import own_cache
from core import models, pools, runs, store
from core.demo import FOLDER
from core.domain import RunSpec, Sample
from core.endpoints import Endpoint
from core.engines import Sampling
from core.engines.endpoint import EndpointEngine
from core.models import Checkpoint
from core.progress import Progress
from core.ranks import spearman
from core.store import pools as stored_pools
from core.store import runs as stored

NEEDS = ("fastapi", "openai", "uvicorn")  # of transformers serve
START_S = 300.0
METHOD, POOL = "answer_divergence", "served"
TEMPERATURE, TOP_P, MAX_TOKENS = 1.4, 0.9, 4096


def lacking() -> list[str]:
    """Packages that `transformers serve` needs and that are not here."""
    return [name for name in NEEDS if importlib.util.find_spec(name) is None]


def sampling_copy(model: Checkpoint, into: Path, **generation: Any) -> Path:
    """The model's files in a folder of their own, with settings that let a server sample."""
    into.mkdir(parents=True)
    for path in Path(model.folder).iterdir():
        if path.name != "generation_config.json":
            (into / path.name).symlink_to(path)
    own = json.loads((Path(model.folder) / "generation_config.json").read_text("utf8"))
    own.pop("_from_model_config", None)  # else transformers would not believe the rest
    settings = own | {"do_sample": True, "top_k": 0} | generation
    (into / "generation_config.json").write_text(json.dumps(settings), "utf8")
    return into


@contextmanager
def served(model: Path, log: Path, *, pinned: bool = True) -> Iterator[Endpoint]:
    """`transformers serve` until the end of the body, with this model alone if it is `pinned`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # fmt: off
    command = [
        sys.executable, "-m", "transformers.cli.transformers", "serve", *([str(model)] * pinned),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32",
    ]
    # fmt: on
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | quiet)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield Endpoint(f"http://127.0.0.1:{port}/v1", str(model))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(health, timeout=5):  # an address of this machine
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text('utf8', 'replace')[-2000:]}")


def speed(at: Endpoint, samples: Sequence[Sample], sampling: Sampling) -> str:
    """Samples a second, and what became of them."""
    engine = EndpointEngine(at)
    try:
        engine.answers(samples[:1], sampling, MAX_TOKENS)  # it finds out how to ask
        began = time.perf_counter()
        engine.answers(samples, sampling, MAX_TOKENS)
        spent = time.perf_counter() - began
    finally:
        engine.close()
    return f"{len(samples) / spent:.2f} samples/s; {engine.told()}"


def shapes(params: dict[str, Any], answers: Endpoint | None = None) -> dict[str, Any]:
    """Columns of a run."""
    run = runs.execute(RunSpec(POOL, METHOD, params, answers=answers), Progress(quiet=True)).run
    click.echo(f"  {run.n_scored} of {run.n} samples scored in {run.seconds:.0f} s")
    with store.connect() as con:
        return stored.run_columns(con, run.run_id)


@click.command(help=__doc__)
@click.option("--samples", type=click.IntRange(4, 160), default=48, show_default=True)
@click.option("--answers", type=click.IntRange(2, 32), default=4, show_default=True)
@click.option("--tokens", type=click.IntRange(1, 512), default=24, show_default=True)
def main(samples: int, answers: int, tokens: int) -> None:
    """Measure; see the module."""
    if missing := lacking():
        raise click.ClickException(f"pip install {' '.join(missing)}")
    model = models.resolve("embedded")
    with own_cache(), tempfile.TemporaryDirectory() as scratch:
        pools.import_files([FOLDER / "pool.jsonl"], POOL, limit=samples)
        with store.connect() as con:
            pool = stored_pools.get_pool(con, POOL)
            some = stored_pools.read_samples(con, POOL, pool.sample_ids)
        folder = sampling_copy(model, Path(scratch) / "model")
        params = {"k": answers, "max_new_tokens": tokens, "bins": 8}
        sampling = Sampling(answers, TEMPERATURE, TOP_P, tokens, 1)
        with served(folder, Path(scratch) / "log.txt") as at:
            for at_once in (1, 8):
                told = speed(Endpoint(at.url, at.model, at_once), some, sampling)
                click.echo(f"{at_once} at once: {told}")
            click.echo("by the server")
            there = shapes(params, at)
        click.echo("without a server, twice")
        here, again = shapes(params), shapes(params | {"seed": 43})
    for name in ("dispersion", "anisotropy"):
        rho, n = spearman(there[name], here[name])
        most, _ = spearman(again[name], here[name])
        click.echo(f"{name}: Spearman {rho:.3f} over {n} samples; two seeds {most:.3f}")


if __name__ == "__main__":
    main()

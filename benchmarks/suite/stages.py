"""The stages of a run that B11 looks at: reading and measuring here, the others in `keeping`."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.suite import corpus, keeping
from benchmarks.suite.bench import Bench
from benchmarks.suite.slopes import Stage, Work
from core import blocks, pools
from core.domain import Sample, Turn
from core.engines import Pooling, Sampling, Sketch, tokens
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.signals import TokenStats

LENGTHS = 24  # that come again and again, so that ten times the samples is ten times the work
LONGEST = 4096
SAMPLING = Sampling(k=2, temperature=1.0, top_p=0.9, max_new_tokens=8, seed=0)


def every(bench: Bench, folder: Path) -> list[Stage]:
    """All stages; `folder` is for stores of their own."""
    return [*_reading(bench, folder), *_measuring(bench), *keeping.every(folder)]


def alike(n: int) -> list[Sample]:
    """n different samples with the lengths of `LENGTHS` of the corpus."""
    some = corpus.corpus(LENGTHS)
    return [_numbered(some[k % LENGTHS], k) for k in range(n)]


def _numbered(sample: Sample, k: int) -> Sample:
    first, *others = sample.turns
    return replace(sample, turns=(Turn(first.role, f"{10**7 + k} {first.content}"), *others))


def _reading(bench: Bench, folder: Path) -> list[Stage]:
    engine = _small(bench)

    def importing(n: int) -> Work:
        path = folder / f"{n}.jsonl"
        with path.open("w", encoding="utf8") as out:
            for s in alike(n):
                out.write(json.dumps({"instruction": s.instruction, "output": s.response}) + "\n")

        def work() -> None:
            inside = tempfile.TemporaryDirectory(dir=folder)
            with inside as name, keeping.cache_in(Path(name)):
                pools.import_files([path], keeping.POOL)

        return work

    def planning(n: int) -> Work:
        held = {s.sample_id: s for s in alike(n)}

        def work() -> None:
            tokens._kept.clear()
            tokens._tokens = 0
            blocks.planned(list(held), TokenStats(), engine, lambda ids: [held[i] for i in ids])

        return work

    return [
        Stage("import", importing, 2000, 10_000, opens=True),
        Stage("plan", planning, 200, 1000),
    ]


def _measuring(bench: Bench) -> list[Stage]:
    """Signals, by a small random model: its own work is linear, what surrounds it may not be."""
    engine, tuned = _small(bench), _small(bench, adapter=True)

    def stage(name: str, measure: Callable[[list[Sample]], object], least: int) -> Stage:
        def make(n: int) -> Work:
            samples = alike(n)
            engine.encoded(samples, "chat")  # kept by text; what `plan` measures
            return lambda: measure(samples)

        return Stage(name, make, least, 2 * least)

    sketch, pooling = Sketch("sjlt", 8192, 0), Pooling("position")
    return [
        stage("token_stats", lambda s: engine.token_stats(s, "chat", LONGEST), 96),
        stage("answer_token", lambda s: engine.answer_token(s, "plain", LONGEST), 96),
        stage("answers", lambda s: engine.answers(s, SAMPLING, LONGEST), 64),
        stage("gradients", lambda s: tuned.gradients(s, "chat", sketch, True, LONGEST), 64),
        stage("embeddings", lambda s: engine.embeddings(s, "conversation", pooling, LONGEST), 96),
    ]


def _small(bench: Bench, adapter: bool = False) -> HFEngine:
    checkpoint = corpus.random_checkpoint("small")
    if adapter:
        checkpoint = corpus.with_adapter(checkpoint)
    return HFEngine(checkpoint, Precision(bench.device, "fp32"))

"""The first answer token of multiple-choice questions."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.fidelity import spearman
from benchmarks.suite import loops
from benchmarks.suite.bench import Bench, Row
from benchmarks.suite.scoring import CLOSE, MAX_TOKENS, plain_model
from core import speed
from core.domain import Sample
from core.engines import answer_token
from core.engines.batches import shared_start
from core.engines.hf import HFEngine
from core.signals import AnswerToken


def answer(bench: Bench) -> Iterator[Row]:
    """B2: entropy at the first answer position, against `generate` prompt by prompt."""
    pool = [s for s in speed.corpus() if s.meta.get("options")][: bench.size(12, 40)]
    reference = plain_model(bench.engine("fp32"))
    formats = [p.of(AnswerToken().steady).dtype for p in bench.precisions()]
    for dtype in dict.fromkeys(formats):
        engine = bench.engine(dtype)
        asked = [answer_token.question(s) for s in pool]
        prompts = answer_token.prompts([q for q in asked if q], "plain", engine.tokenizer)
        gate, note = _same_answers(engine, pool, loops.greedy_token(reference, engine, prompts))
        race = bench.race(
            lambda engine=engine: engine.answer_token(pool, "plain", MAX_TOKENS),  # type: ignore[misc]
            lambda engine=engine, prompts=prompts: loops.greedy_token(reference, engine, prompts),  # type: ignore[misc]
            bench.size(1, 3),
            dtype=dtype,
        )
        start = shared_start(prompts)
        note += f"; {start} of about {np.mean([len(p) for p in prompts]):.0f} tokens are shared"
        name = "b2" if dtype == formats[0] else f"b2.{dtype}"
        what = f"answer token of {len(pool)} questions in {dtype}, against `generate`"
        yield bench.row(name, what, race.ratio, 5.0, gate, note=note)


def _same_answers(engine: HFEngine, pool: Sequence[Sample], right: list[Any]) -> tuple[bool, str]:
    found = engine.answer_token(pool, "plain", MAX_TOKENS)
    same = int(sum(a == b for a, (b, _) in zip(found["greedy"].tolist(), right, strict=True)))
    entropy = np.array([h for _, h in right])
    if engine.precision.dtype == "fp32":
        error = float(np.abs(found["entropy"] - entropy).max())
        return same == len(pool) and error <= CLOSE, f"greedy equal, error {error:.0e}"
    rho = spearman(found["entropy"], entropy)
    told = f"greedy equal in {same} of {len(pool)}, rank correlation with fp32 {rho:.4f}"
    return same == len(pool), told


GROUP: dict[str, Callable[[Bench], Iterator[Row]]] = {"b2": answer}

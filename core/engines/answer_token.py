"""What a model believes at the first position of its answer. See `Engine.answer_token`.

Only the last position of each prompt meets the head, in float32, and its softmax is taken in
float64: many of these entropies lie near 1e-9, and bf16 logits would round them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import FloatN, IntN, Sample
from core.engines import LETTERS, Wording
from core.engines.batches import pad, token_batches
from core.engines.hf import HFEngine
from core.engines.logits import FLOOR
from core.engines.questions import (
    DONT_KNOW,
    Question,
    before_answer,
    letter_tokens,
    named,
    prompts,
    question,
)
from core.templates import Encoded

if TYPE_CHECKING:
    import torch

ROWS = 64  # positions at a time: 64 x 150k float64 logits are 80 MB
NONE, UNKNOWN = -1, -2  # `predicted` where no option is named, and for "do not know"


def answer_token(
    engine: HFEngine, samples: Sequence[Sample], wording: Wording, max_tokens: int
) -> dict[str, NDArray[Any]]:
    """See `Engine.answer_token`.

    An option's log-probability is that of all single tokens that say its letter together, -inf
    where no single token does.
    """
    asked = [question(s) for s in samples]
    read = _prompts(engine, samples, asked, wording)
    lengths = np.array([len(ids) for ids in read], np.int64)
    n = len(samples)
    found: dict[str, NDArray[Any]] = {
        "entropy": np.full(n, np.nan),
        "greedy": np.full(n, -1, np.int64),
        "choice": np.array([q is not None for q in asked], bool),
        "predicted": np.full(n, NONE, np.int64),
        "gold": np.array([q.gold if q else -1 for q in asked], np.int64),
        "options": np.full((n, LETTERS), np.nan, np.float32),
        "over_long": lengths > min(max_tokens, engine.limit),
    }
    tokens = {x: letter_tokens(x, engine.tokenizer) for q in asked if q for x in q.letters}
    said = [[tokens[letter] for letter in q.letters] if q else [] for q in asked]
    rows = np.flatnonzero(~found["over_long"] & (lengths > 0))
    for batch in token_batches(rows, lengths, engine.batch_tokens):
        measured = _measure(engine, [read[i] for i in batch], [said[i] for i in batch])
        for name, column in zip(("entropy", "greedy", "options"), measured, strict=True):
            found[name][batch] = column
    for i in rows:
        if (q := asked[i]) is not None:
            found["predicted"][i] = _predicted(engine, int(found["greedy"][i]), q, wording)
    return found


def _prompts(
    engine: HFEngine, samples: Sequence[Sample], asked: Sequence[Question | None], wording: Wording
) -> list[NDArray[np.int64]]:
    """Token ids that stand before the answer: of a question asked, or of the sample itself."""
    questions = [q for q in asked if q is not None]
    others = [s for s, q in zip(samples, asked, strict=True) if q is None]
    of_questions = iter(prompts(questions, wording, engine.tokenizer))
    of_others = iter(engine.encoded(others, "chat"))
    return [next(of_questions) if q else before_answer(next(of_others)) for q in asked]


def _measure(
    engine: HFEngine, batch: Sequence[NDArray[np.int64]], said: Sequence[Sequence[list[int]]]
) -> tuple[FloatN, IntN, NDArray[np.float32]]:
    """Entropy (b,), likeliest token (b,) and log-probability of each option (b, 26) after the
    prompts of a batch; `said`: the tokens of each option.
    """
    import torch

    entropy: list[float] = []
    greedy: list[int] = []
    options = np.full((len(batch), LETTERS), np.nan, np.float32)
    with torch.inference_mode():
        for rows in _last_rows(engine, batch).split(ROWS):
            # -inf becomes a large number, so that 0 ln 0 = 0
            log_p = _logits(engine, rows).double().clamp_(min=FLOOR).log_softmax(1)
            for z in log_p:
                own = said[len(greedy)]
                options[len(greedy), : len(own)] = [_log_sum(z[ids]) for ids in own]
                entropy.append(max(0.0, -float((z.exp() * z).sum())))
                greedy.append(int(z.argmax()))
    return np.array(entropy), np.array(greedy, np.int64), options


def _last_rows(engine: HFEngine, batch: Sequence[NDArray[np.int64]]) -> "torch.Tensor":
    """What stands at the last position of each prompt: hidden states (b, d), or logits (b, V)
    of a model whose head is unusual.
    """
    import torch

    ids, _ = pad([Encoded(row, np.zeros(len(row), bool)) for row in batch])
    tokens = torch.from_numpy(ids).to(engine.precision.device)
    lengths = torch.tensor([len(row) for row in batch], device=tokens.device)
    last = lengths - 1
    row = torch.arange(len(batch), device=tokens.device)
    if engine.head is not None:
        shared = engine.shared_start(batch)
        return engine.states(tokens, lengths, shared)[row, last - shared]
    kept, column = last.unique(return_inverse=True)
    logits: torch.Tensor = engine.model(tokens, use_cache=False, logits_to_keep=kept).logits
    return logits[row, column]


def _logits(engine: HFEngine, rows: "torch.Tensor") -> "torch.Tensor":
    """Logits (r, V) of what `_last_rows` gives."""
    import torch

    return rows if engine.head is None else torch.cat(list(engine.head.blocks(rows.float())), 1)


def _log_sum(log_p: "torch.Tensor") -> float:
    """ln of the summed probability of some tokens; -inf for none."""
    return float(log_p.logsumexp(0)) if len(log_p) else -np.inf


def _predicted(engine: HFEngine, greedy: int, asked: Question, wording: Wording) -> int:
    """Index of the option that the likeliest token names."""
    text = engine.tokenizer.decode([greedy])
    option = named(text, asked.letters)
    if option < 0 and wording != "plain" and named(text, [DONT_KNOW]) == 0:
        return UNKNOWN
    return option


def reference_entropy(logits: NDArray[Any]) -> tuple[FloatN, IntN, IntN]:
    """CAFT's own numbers for logits (t, V): entropy with 1e-12 inside the logarithm, clipped
    at 0; the likeliest token; how many tokens have a probability above 1e-5. Each (t,).
    """
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    entropy = np.maximum(-(p * np.log(p + 1e-12)).sum(-1), 0.0)
    return entropy, p.argmax(-1), (p > 1e-5).sum(-1)

"""Whether drawn tokens are the right ones: against transformers in float32, and against a sort."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.fidelity import spearman
from benchmarks.suite.bench import Bench
from core.engines import Sampling
from core.engines.hf import HFEngine
from core.engines.sampling import growing_of, sample
from core.engines.weights import load_model
from core.templates import prompts

if TYPE_CHECKING:
    import torch

K, TEMPERATURE, TOP_P = 5, 1.4, 0.9  # as ADG
CLOSE, RANKED, LIKELY = 5e-5, 0.999, 0.001
NO_ENDS = np.array([], np.int64)
DRAWN = 2000  # tokens of the chi-square
SAID = 24  # tokens of a text that is compared

Asked = list[list[int]]


def generated(model: Any, ids: list[int], new: int, **how: Any) -> "torch.Tensor":
    """transformers' own `generate` of `new` tokens at most, the prompt before them."""
    import torch

    prompt = torch.tensor([ids], device=model.device)
    with torch.no_grad():
        found: torch.Tensor = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new,
            pad_token_id=0,
            **how,
        )
    return found


def asked_of(bench: Bench, engine: HFEngine, n: int) -> Asked:
    """n prompts of the corpus, longest first."""
    return sorted(prompts(bench.samples(n), engine.tokenizer), key=len, reverse=True)


def judged(engine: HFEngine, asked: Asked) -> tuple[bool, str]:
    """Whether tokens have the chances that the model itself gives them; and how closely.

    The reference is always the model in float32 through transformers.
    """
    model = load_model(engine.checkpoint, engine.precision.device, "float32")
    texts = [generated(model, ids, SAID, do_sample=False)[0, len(ids) :].tolist() for ids in asked]
    right, found = forced(engine, model, asked)
    gap = float(np.abs(right.mean(1) - found.mean(1)).max())  # of a text's mean NLL, as in B1
    rank = spearman(right.ravel(), found.ravel())
    if engine.precision.dtype == "bf16":
        return rank >= RANKED, f"NLL of drawn tokens: rank correlation {rank:.5f}"
    greedy = Sampling(1, 1e-4, TOP_P, SAID, 0)
    ends = np.atleast_1d(model.generation_config.eos_token_id)
    said = sample(growing_of(engine, asked, 1), np.arange(len(asked)), greedy, ends)
    same = [row[:n].tolist() for row, n in zip(said.tokens, said.n_tokens, strict=True)] == texts
    chance = likely(engine, model, asked[0])
    told = f"mean NLL within {gap:.0e}, greedy texts {'equal' if same else 'DIFFER'}"
    gate = gap <= CLOSE and same and chance > LIKELY
    return gate, f"{told}, chi-square p = {chance:.2f}"


def forced(
    engine: HFEngine, model: Any, asked: Asked
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NLL of sampled continuations, (n, SAID), by the model itself and step by step by ours."""
    import torch

    torch.manual_seed(0)
    told = torch.cat(
        [generated(model, x, SAID, min_new_tokens=SAID, do_sample=True)[:, len(x) :] for x in asked]
    )
    right, found = np.zeros(told.shape), np.zeros(told.shape)
    with torch.inference_mode():
        for row, ids in enumerate(asked):
            text = torch.cat([torch.tensor(ids, device=told.device), told[row]])
            logits = model(text[None]).logits[0, len(ids) - 1 : -1]
            right[row] = nll(logits, told[row])
        growing = growing_of(engine, asked, 1)
        for t in range(told.shape[1]):
            found[:, t] = nll(torch.cat(list(growing.logits())), told[:, t])
            growing.step(told[:, t], np.ones(len(asked), bool))
    return right, found


def nll(logits: "torch.Tensor", tokens: "torch.Tensor") -> NDArray[np.float64]:
    """NLL of tokens (r,) under logits (r, V)."""
    import torch

    found = torch.nn.functional.cross_entropy(logits.double(), tokens, reduction="none")
    return np.asarray(found.cpu().numpy())


def likely(engine: HFEngine, model: Any, ids: list[int]) -> float:
    """p of a chi-square of many first tokens against softmax, sort, cut and renormalise."""
    import torch

    with torch.inference_mode():
        z = model(torch.tensor([ids], device=model.device)).logits[0, -1:] / TEMPERATURE
        kept = warped(z).softmax(1)[0].double().cpu().numpy()
    one = Sampling(DRAWN, TEMPERATURE, TOP_P, 1, 0)
    drawn = sample(growing_of(engine, [ids], DRAWN), np.arange(DRAWN), one, NO_ENDS).tokens[:, 0]
    return chi_square(np.bincount(drawn, minlength=len(kept)), kept)


def chi_square(counts: NDArray[np.int64], chances: NDArray[np.float64]) -> float:
    """p of token counts (V,), rare tokens taken as one; 0 where one without a chance came."""
    expected = chances * counts.sum()
    if counts[expected == 0].any():
        return 0.0
    common = expected >= 5
    both = [np.append(x[common], x[~common].sum()) for x in (counts, expected)]
    seen, due = (x[both[1] > 0] for x in both)
    return float(stats.chisquare(seen, due * seen.sum() / due.sum()).pvalue)


def warped(logits: "torch.Tensor") -> "torch.Tensor":
    """Logits with -inf outside the nucleus, by transformers' own sort."""
    from transformers import TopPLogitsWarper

    found: torch.Tensor = TopPLogitsWarper(TOP_P)(None, logits)
    return found

"""Answers grown by the fast path, against transformers on each text alone."""

from typing import Any

import numpy as np
import pytest
import torch
from test_stack import FAMILIES, random_model

from core.engines import answer_cache
from core.engines.answer_cache import ROOM, AnswerCache
from core.engines.decoding import Decoder, Decoding
from core.engines.logits import Head
from core.engines.products import Product
from core.engines.stack import stack_of

K, STEPS = 3, ROOM + 6
LENGTHS = (17, 6, 8, 9)  # tokens of the prompts; the first four are the same


def decoder_of(model: Any) -> Decoder:
    head = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    stack = stack_of(model)
    assert stack is not None
    return Decoder(stack, Head(head.weight, head.bias, float(cap or 0.0)))


def prompts() -> list[list[int]]:
    found = [torch.randint(3, 300, (n,)).tolist() for n in LENGTHS]
    return [found[0][:4] + ids[4:] for ids in found]


@pytest.mark.parametrize("name", FAMILIES)
def test_each_step_has_the_logits_of_the_whole_text_alone(name: str) -> None:
    model, worst = random_model(name), 0.0
    torch.manual_seed(0)
    asked = prompts()
    texts = [list(ids) for ids in asked for _ in range(K)]
    chance = np.random.default_rng(1)
    with torch.inference_mode():
        growing = Decoding(decoder_of(model), asked, K)
        for step in range(STEPS):
            found = torch.cat(list(growing.logits()))
            assert len(found) == len(growing.rows)
            for row, z in zip(growing.rows, found, strict=True):
                right = model(torch.tensor([texts[row]])).logits[0, -1]
                worst = max(worst, float((right - z).abs().max()))
            tokens = torch.randint(3, 300, (len(found),))
            for row, token in zip(growing.rows, tokens.tolist(), strict=True):
                texts[row].append(token)
            ends = growing.rows // K == 1 if step == 9 else chance.random(len(found)) < 0.04
            growing.step(tokens, ~ends)
    assert worst < 5e-5
    assert len(growing.cache.lengths) < len(asked), "no prompt has left the caches"
    assert len(growing.rows) % K, "answers of a prompt all left at once"


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3"])
def test_rows_that_end_do_not_change_the_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of(random_model(name))
    torch.manual_seed(0)
    asked, told = prompts(), torch.randint(3, 300, (STEPS, K * len(LENGTHS)))

    def last(ended: list[int], leave: float) -> torch.Tensor:
        monkeypatch.setattr(answer_cache, "LEAVE", leave)
        with torch.inference_mode():
            growing = Decoding(decoder, asked, K)
            for tokens in told:
                growing.step(tokens[growing.rows], ~np.isin(growing.rows, ended))
            return torch.cat(list(growing.logits()))[~np.isin(growing.rows, ended)]

    everyone = last([], 0.25)
    gone = [1, 3, 4, 5, 11]  # all answers to the second prompt among them
    stay = np.setdiff1d(np.arange(len(everyone)), gone)
    for leave in (0.0, 0.25, 0.9):
        torch.testing.assert_close(last(gone, leave), everyone[stay], rtol=0, atol=5e-5)


@pytest.mark.parametrize(("window", "softcap"), [(0, 0.0), (7, 0.0), (0, 1.5)])
def test_attention_over_a_shared_prompt_is_attention_of_each_row_alone(
    window: int, softcap: float
) -> None:
    name = "gemma2" if softcap else "mistral"
    changes = {"attn_logit_softcapping": softcap} if softcap else {"sliding_window": window or None}
    stack = stack_of(random_model(name, **changes))
    assert stack is not None
    torch.manual_seed(0)
    lengths, h, kv, w = torch.tensor([9, 4]), stack.heads, stack.kv_heads, stack.width
    cache = AnswerCache(stack, lengths, K)
    asked = torch.randn(2, 2, 9, kv, w)
    cache.tell(0, 0, *asked)
    own = torch.randn(2, 5, 2 * K, kv, w)
    for step in range(5):
        cache.open()
        q = torch.randn(2 * K, h, w)
        found = cache.attend(0, stack.layers[0].window, q, *own[:, step])
    for row in range(2 * K):
        n = int(lengths[row // K])
        parts = [asked[:, row // K, :n], own[:, :, row]]
        keys, values = torch.cat(parts, 1).double().repeat_interleave(h // kv, 2)
        z = torch.einsum("hw,thw->ht", q[row].double(), keys) * stack.scale
        z = softcap * torch.tanh(z / softcap) if softcap else z
        if stack.layers[0].window:
            z[:, : n + 5 - stack.layers[0].window] = -torch.inf
        right = torch.einsum("ht,thw->hw", z.softmax(1), values).flatten()
        torch.testing.assert_close(found[row].double(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [False, True])
def test_a_packed_product_is_the_product(dtype: torch.dtype, biased: bool) -> None:
    torch.manual_seed(0)
    weight, stream = torch.randn(96, 64, dtype=dtype), torch.randn(7, 96, dtype=dtype)
    bias = torch.randn(96, dtype=dtype) if biased else None
    x = torch.randn(64, 7, dtype=dtype).T
    right = x.double() @ weight.double().T + (bias.double() if bias is not None else 0)
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.2}
    for pack in (True, False):
        product = Product(weight, bias, pack)
        torch.testing.assert_close(product(x).double(), right, **close)
        found = product.onto(stream.clone(), x).double()
        torch.testing.assert_close(found, right + stream.double(), **close)

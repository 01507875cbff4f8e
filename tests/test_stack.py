"""The fast path against transformers' own forward, on tiny random models of each architecture."""

from typing import Any

import pytest
import torch
import transformers

from core.engines.attention import blocked_attention, causal_mask
from core.engines.body import last_states, mean_states
from core.engines.stack import Stack, stack_of

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama with biases": ("Llama", {"attention_bias": True}),
    "smollm3": ("SmolLM3", {"no_rope_layer_interval": 2}),
    "mistral": ("Mistral", {"sliding_window": 9}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "phi3": ("Phi3", {"sliding_window": 11}),
    "phi3, partly rotated": ("Phi3", {"partial_rotary_factor": 0.5}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma2": (
        "Gemma2",
        {"head_dim": 16, "sliding_window": 9, "attn_logit_softcapping": 2.0},
    ),
    "gemma3": ("Gemma3Text", {"head_dim": 16, "sliding_window": 9}),
}


def random_model(name: str, **changes: Any) -> Any:
    """A tiny model whose norms are not one and whose biases are not zero."""
    family, own = FAMILIES[name]
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**(SIZES | own | changes))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            if "norm" in weight_name or "bias" in weight_name:
                weight.add_(torch.randn_like(weight) * 0.3)
    return model


def rows() -> torch.Tensor:
    """Three rows of 40 tokens of which the first 7 are the same."""
    ids = torch.randint(3, 300, (3, 40), generator=torch.Generator().manual_seed(5))
    ids[:, :7] = ids[0, :7]
    return ids


@pytest.mark.parametrize("shared", [0, 1, 7])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_fast_path_reads_as_transformers_does(name: str, shared: int) -> None:
    model = random_model(name)
    with torch.inference_mode():
        theirs = model.base_model(rows(), use_cache=False).last_hidden_state[:, shared:]
        stack = stack_of(model)
        assert stack is not None
        ours = last_states(stack, rows(), shared)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layers", [[0], [4], [1, 2, 4]])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_states_on_the_way_are_those_of_transformers(name: str, layers: list[int]) -> None:
    model = random_model(name)
    with torch.inference_mode():
        states = model.base_model(rows(), output_hidden_states=True).hidden_states
        stack = stack_of(model)
        assert stack is not None
        found = mean_states(stack, rows(), layers)
    right = torch.stack([states[k] for k in layers]).mean(0)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_folding_leaves_what_the_model_itself_says(name: str) -> None:
    model = random_model(name)
    with torch.inference_mode():
        before = model(rows()).logits
        stack = stack_of(model)
        after = model(rows()).logits
    torch.testing.assert_close(after, before, rtol=1e-5, atol=2e-4)
    assert stack is not None
    own = model.base_model.layers[0].self_attn.o_proj.weight
    assert stack.layers[0].out.weight.data_ptr() == own.data_ptr(), "weights are not kept twice"


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_what_follows_a_row_does_not_change_it(name: str) -> None:
    stack = stack_of(random_model(name))
    assert stack is not None
    padded = rows()
    padded[:, 30:] = 0
    with torch.inference_mode():
        torch.testing.assert_close(
            last_states(stack, padded)[:, :30], last_states(stack, padded[:, :30])
        )


@pytest.mark.parametrize("shared", [0, 7])
@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral"])
def test_pads_are_not_read_and_change_nothing(name: str, shared: int) -> None:
    stack = stack_of(random_model(name))
    assert stack is not None
    lengths = torch.tensor([40, 9, 23])
    with torch.inference_mode():
        right = last_states(stack, rows(), shared)
        found = last_states(stack, rows(), shared, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, : length - shared], right[row, : length - shared])
        assert not found[row, length - shared :].any()


@pytest.mark.parametrize("window", [0, 9])
def test_blocked_attention_is_attention(window: int) -> None:
    stack = stack_of(random_model("qwen3"))
    assert isinstance(stack, Stack)
    chance = torch.Generator().manual_seed(1)
    q = torch.randn(2, 4, 300, 16, generator=chance)
    k, v = torch.randn(2, 2, 2, 310, 16, generator=chance)
    mask = causal_mask(310, window, q)[10:]
    found = blocked_attention(stack, q, k, v, mask)
    right = torch.nn.functional.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), mask.double(), scale=stack.scale, enable_gqa=True
    )
    torch.testing.assert_close(found, right.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("llama", {"mlp_bias": True}), ("gemma3", {"use_bidirectional_attention": True})],
)
def test_a_layer_of_another_kind_has_no_stack(name: str, changes: dict[str, Any]) -> None:
    assert stack_of(random_model(name, **changes)) is None


def test_another_architecture_has_no_stack() -> None:
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=300)
    assert stack_of(transformers.AutoModelForCausalLM.from_config(config)) is None

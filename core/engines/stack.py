"""The weights of a Llama-like model, laid out for few and large products.

A layer of Llama, Qwen, SmolLM, Mistral, Phi or Gemma is two additions to a stream x:

    x += out(attention(qkv(x / rms(x))))        x += down(act(gate(y)) up(y)),  y = x / rms(x)

The weights of a norm belong to the product behind it: W diag(w) y = (W diag(w)) y. They are
folded into the model's own parameters, in place, and q, k, v become views of one matrix, so
nothing is kept twice and transformers' own path still gives the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.engines.products import MOST_BYTES, Product

if TYPE_CHECKING:
    import torch

    # cosines and sines (r, 1, a), which turn the first a numbers of each head of r rows
    Table = tuple[torch.Tensor, torch.Tensor]

FAMILIES = (
    *("llama", "mistral", "qwen2", "qwen3", "smollm3", "phi3"),
    *("gemma", "gemma2", "gemma3_text"),
)


@dataclass(frozen=True)
class Layer:
    """One layer: d wide, h heads and kv key heads of width w, f wide inside.

    Weights: `qkv` ((h + 2 kv) w, d), queries first; `out` (d, h w); `gate_up` (2 f, d), gate
    first; `down` (d, f). `q_norm` and `k_norm` (w,) scale the normalised queries and keys;
    `after_attention` and `after_mlp` (d,) are norms before the addition to the stream.
    `attention_norm` and `mlp_norm` (d,) were folded into `qkv` and `gate_up`. A position sees the
    `window` positions up to itself, all of them at 0. `rope` names the rotary table, "" for none.
    """

    qkv: Product
    q_norm: "torch.Tensor | None"
    k_norm: "torch.Tensor | None"
    out: Product
    gate_up: Product
    down: Product
    after_attention: "torch.Tensor | None"
    after_mlp: "torch.Tensor | None"
    attention_norm: "torch.Tensor"
    mlp_norm: "torch.Tensor"
    window: int
    rope: str


@dataclass(frozen=True)
class Stack:
    """All layers, and what they share. `norm` (d,) is the last one; `softcap` 0 caps nothing."""

    layers: tuple[Layer, ...]
    norm: "torch.Tensor"
    eps: float
    heads: int
    kv_heads: int
    width: int
    scale: float  # of queries times keys, before the softmax
    softcap: float  # queries times keys -> softcap * tanh(. / softcap)
    activation: "Callable[[torch.Tensor], torch.Tensor]"
    body: Any  # the transformers model that owns the weights

    @property
    def dtype(self) -> "torch.dtype":
        """The number format of the products."""
        return self.norm.dtype

    def embed(self, ids: "torch.Tensor") -> "torch.Tensor":
        """The stream (..., d) where it begins."""
        found: torch.Tensor = self.body.embed_tokens(ids)
        return found

    def tables(self, positions: "torch.Tensor") -> "dict[str, Table | None]":
        """The rotary tables of the layers, by their names, at positions (r,)."""
        return {rope: self._table(rope, positions) for rope in {x.rope for x in self.layers}}

    def _table(self, rope: str, positions: "torch.Tensor") -> "Table | None":
        if not rope:
            return None
        named = (rope,) if rope != "all" else ()
        cos, sin = self.body.rotary_emb(self.norm, positions[None], *named)
        return cos[0, :, None], sin[0, :, None]


def stack_of(model: Any) -> Stack | None:
    """The stack of a causal language model, whose norms are folded now; None for other models."""
    import torch

    config, body = model.config.get_text_config(), model.base_model
    if config.model_type not in FAMILIES or any(_strange(layer) for layer in body.layers):
        return None
    first = body.layers[0].self_attn
    # tensors of inference mode could not be trained through later
    with torch.inference_mode(False), torch.no_grad():
        pack = sum(p.nbytes for p in body.layers.parameters()) <= MOST_BYTES
        layers = tuple(_layer(x, config, number, pack) for number, x in enumerate(body.layers))
        norm = _weight(body.norm)
    return Stack(
        layers,
        norm,
        float(config.rms_norm_eps),
        config.num_attention_heads,
        config.num_key_value_heads,
        first.head_dim,
        float(first.scaling),
        float(getattr(config, "attn_logit_softcapping", None) or 0.0),
        getattr(body.layers[0].mlp, "act_fn", None) or body.layers[0].mlp.activation_fn,
        body,
    )


def _strange(layer: Any) -> bool:
    """Whether a layer has weights that a `Layer` has no place for."""
    mlp, attention = layer.mlp, layer.self_attn
    linear = [getattr(mlp, n, None) for n in ("gate_proj", "up_proj", "gate_up_proj", "down_proj")]
    biased = any(x is not None and x.bias is not None for x in linear)
    return biased or not getattr(attention, "is_causal", True)


def _layer(layer: Any, config: Any, number: int, pack: bool) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    sandwiched = hasattr(layer, "pre_feedforward_layernorm")  # Gemma 2 and 3
    before_mlp = layer.pre_feedforward_layernorm if sandwiched else layer.post_attention_layernorm
    projections = _there(attention, "qkv_proj") or _there(attention, "q_proj", "k_proj", "v_proj")
    gates = _there(mlp, "gate_up_proj") or _there(mlp, "gate_proj", "up_proj")
    biases = [p.bias for p in projections if p.bias is not None]
    q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    attention_norm, mlp_norm = _weight(layer.input_layernorm), _weight(before_mlp)
    qkv_bias = _cat(biases) if biases else None
    out_bias = None if attention.o_proj.bias is None else attention.o_proj.bias.data
    found = Layer(
        qkv=Product(_joined(projections, attention_norm), qkv_bias, pack),
        q_norm=_weight(q_norm) if q_norm is not None else None,
        k_norm=_weight(k_norm) if k_norm is not None else None,
        out=Product(attention.o_proj.weight.data, out_bias, pack),
        gate_up=Product(_joined(gates, mlp_norm), None, pack),
        down=Product(mlp.down_proj.weight.data, None, pack),
        after_attention=_weight(layer.post_attention_layernorm) if sandwiched else None,
        after_mlp=_weight(layer.post_feedforward_layernorm) if sandwiched else None,
        attention_norm=attention_norm,
        mlp_norm=mlp_norm,
        window=_window(attention, config),
        rope=_rope(attention, config, number),
    )
    _forget(layer.input_layernorm)
    _forget(before_mlp)
    return found


def _window(attention: Any, config: Any) -> int:
    """Positions that a layer sees; some families say it in the config only."""
    own = getattr(attention, "sliding_window", None)
    if own is None and config.model_type in ("mistral", "phi3"):
        own = getattr(config, "sliding_window", None)
    return int(own or 0)


def _rope(attention: Any, config: Any, number: int) -> str:
    """The rotary table of a layer."""
    if not getattr(attention, "use_rope", True):
        return ""
    return str(config.layer_types[number]) if config.model_type == "gemma3_text" else "all"


def _there(module: Any, *names: str) -> list[Any]:
    return [getattr(module, name) for name in names if hasattr(module, name)]


def _weight(norm: Any) -> "torch.Tensor":
    """What a norm multiplies by, a copy; Gemma keeps it less one."""
    weight: torch.Tensor = norm.weight.detach().clone()
    return weight.float().add_(1).to(weight.dtype) if _from_one(norm) else weight


def _forget(norm: Any) -> None:
    """Let a norm multiply by one."""
    norm.weight.data.fill_(0.0 if _from_one(norm) else 1.0)


def _from_one(norm: Any) -> bool:
    return type(norm).__name__.startswith("Gemma")


def _joined(linear: Sequence[Any], norm: "torch.Tensor") -> "torch.Tensor":
    """One matrix of the weights of several, times a norm's; theirs become views of it."""
    one = _cat([x.weight for x in linear])
    one.copy_(one.float() * norm.float())
    start = 0
    for x in linear:
        x.weight.data = one[start : start + len(x.weight)]
        start += len(x.weight)
    return one


def _cat(tensors: "Sequence[torch.Tensor]") -> "torch.Tensor":
    import torch

    return torch.cat([t.detach() for t in tensors])

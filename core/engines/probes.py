"""Which fast paths a model may take: the model itself is asked on a few tokens.

Architectures differ in scales, caps and norms that no name tells of. Where the fast numbers are not
the model's own, it takes transformers' way, which one log line says.
"""

import logging
from typing import TYPE_CHECKING

from core.engines.body import last_states
from core.engines.logits import Head
from core.engines.stack import Stack, stack_of

if TYPE_CHECKING:
    from core.engines.hf import HFEngine

log = logging.getLogger(__name__)

APART = {"fp32": 1e-3, "bf16": 0.1}  # norm of the difference of a hidden state, over its norm


def head(engine: "HFEngine") -> Head | None:
    """The output matrix, if hidden states times it are the model's logits.

    A soft cap hardly shows on small logits, so the config is asked for it.
    """
    import torch

    model = engine.model
    output, body = model.get_output_embeddings(), model.base_model
    if output is None or body is model:
        _plain(engine, "its head is unusual")
        return None
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    found = Head(output.weight, getattr(output, "bias", None), float(cap or 0.0))
    ids = torch.arange(3, 11, device=engine.precision.device)[None]
    with torch.inference_mode():
        hidden = body(ids, use_cache=False).last_hidden_state[0]
        ours = torch.cat(list(found.blocks(hidden)), 1).float()
        theirs = model(ids, use_cache=False).logits[0].float()
    same = ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=0.02, atol=0.1)
    if not same:
        _plain(engine, "its head is unusual")
    return found if same else None


def stack(engine: "HFEngine") -> Stack | None:
    """The layers, if they read as the model does. Their norms are folded into the model then.

    Otherwise the engine's model is forgotten, and read anew when it is needed.
    """
    import torch

    # spread over the vocabulary: its first tokens are special, and hardly trained
    ids = torch.arange(1, 33, device=engine.precision.device) * max(1, engine.vocabulary // 33)
    ids = ids.clamp(max=engine.vocabulary - 1)[None]
    with torch.inference_mode():
        theirs = engine.model.base_model(ids, use_cache=False)[0]
        found = stack_of(engine.model)
        if found is None:
            _plain(engine, "its layers are of a kind of their own")
            return None
        apart = (last_states(found, ids) - theirs).float().norm(dim=-1) / theirs.float().norm(
            dim=-1
        )
    # in bf16 outlier features of the first tokens move far by one rounding, in any order
    far = apart.max() if engine.precision.dtype == "fp32" else apart.median()
    if far <= APART[engine.precision.dtype]:
        return found
    del engine.model
    _plain(engine, "its layers differ from what their names say")
    return None


def _plain(engine: "HFEngine", why: str) -> None:
    """Say why this model takes longer."""
    log.warning("%s: %s, using the plain path", engine.checkpoint.name, why)

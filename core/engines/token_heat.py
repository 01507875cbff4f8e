"""NLL and entropy of one response, token by token, beside the text that each token adds."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample
from core.templates import Encoded, Template

if TYPE_CHECKING:
    from core.engines.hf import HFEngine
from core.engines.reading import per_token, piecewise

BROKEN = "\ufffd"  # what a decoder makes of a character of which a part is missing


def token_heat(
    engine: "HFEngine", sample: Sample, template: Template, max_tokens: int
) -> dict[str, NDArray[Any]]:
    """See `Engine.token_heat`. Where memory was short the sample is read in pieces."""
    encoded = engine.encoded([sample], template)[0]
    runs = _runs(encoded)
    if not runs or len(encoded) > min(max_tokens, engine.limit):
        empty = np.empty(0)
        return {
            "text": np.empty(0, object),
            "turn": np.empty(0, np.int64),
            "nll": empty,
            "entropy": empty,
        }
    if engine.halvings and len(encoded) > engine.batch_tokens:
        nll, entropy = piecewise(engine, encoded, engine.batch_tokens)
    else:
        nll, entropy = per_token(engine, [encoded])
    texts = [text for ids in runs for text in pieces(ids, engine.tokenizer)]
    turn = np.repeat(np.arange(len(runs)), [len(ids) for ids in runs])
    return {"text": np.array(texts, object), "turn": turn, "nll": nll, "entropy": entropy}


def _runs(encoded: Encoded) -> list[list[int]]:
    """The ids of each unbroken run of scored tokens: one run a response."""
    at = np.flatnonzero(encoded.scored)
    cuts = np.flatnonzero(np.diff(at) > 1) + 1
    return [encoded.ids[part].tolist() for part in np.split(at, cuts) if len(part)]


def pieces(ids: Sequence[int], tokenizer: Any) -> Iterator[str]:
    """What each token adds to the text; together they are the text.

    Decoded with the token before it, since some tokenizers drop a space at the beginning. A
    character that is cut into several tokens stands at its last one.
    """
    context = done = 0
    for end in range(1, len(ids) + 1):
        before = _decoded(ids[context:done], tokenizer)
        text = _decoded(ids[context:end], tokenizer)
        if end < len(ids) and (text.endswith(BROKEN) or len(text) <= len(before)):
            yield ""
            continue
        yield text[len(before) :]
        context, done = done, end


def _decoded(ids: Sequence[int], tokenizer: Any) -> str:
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    )

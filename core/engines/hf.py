"""The transformers engine: a causal language model, and which of its parts take the fast path."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from core import adapters
from core.domain import IntN, Sample
from core.engines import Pooling, Sampling, Sketch, Text, Wording, probes
from core.engines.batches import shared_start
from core.engines.body import last_states
from core.engines.decoding import Decoder
from core.engines.hardware import DTYPES, Precision
from core.engines.logits import Head
from core.engines.stack import Stack
from core.engines.tokens import encoded, tokenizer_key
from core.engines.weights import load_model, unloadable
from core.errors import ModelError
from core.models import Checkpoint
from core.templates import Encoded, Template

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}  # padded tokens in one forward pass
BLOCK_TOKENS = {"cpu": 2048, "cuda": 1_048_576}  # padded tokens in one part on disk
LEAST_TOKENS = 16  # in one forward pass: hardly any sample is shorter


class HFEngine:
    """A causal language model of transformers. See `core.engines.Engine`."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self.checkpoint, self.precision = checkpoint, precision
        kind = precision.device.split(":")[0]
        self.batch_tokens, self.block_tokens = BATCH_TOKENS[kind], BLOCK_TOKENS[kind]
        self.halvings = 0  # of what is in memory at once

    @cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(
                self.checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # a damaged file makes the tokenizers raise Exception itself
            raise unloadable(self.checkpoint, "tokenizer", error) from error

    @cached_property
    def model(self) -> Any:
        """The checkpoint's weights on the device, ready to measure."""
        import torch

        # gradients may be asked of it later, even if it is first needed where none are
        with torch.inference_mode(False):
            return load_model(self.checkpoint, self.precision.device, DTYPES[self.precision.dtype])

    @cached_property
    def adapter(self) -> adapters.Adapter:
        """The checkpoint's adapter with its moments, on the device.

        Raises:
            ModelError: the checkpoint has none.
        """
        if not self.checkpoint.adapter:
            do = "Measure at a checkpoint of a warm-up with warm_up_adapter=lora."
            raise ModelError(self.checkpoint.name, "has no adapter to take gradients by", do=do)
        held = adapters.load(self.checkpoint.adapter)
        there = {name: t.to(self.precision.device) for name, t in held.tensors.items()}
        return adapters.Adapter(held.scale, held.modules, there)

    @cached_property
    def config(self) -> Any:
        """The checkpoint's text config; needs no weights."""
        from transformers import AutoConfig

        try:
            found = AutoConfig.from_pretrained(
                self.checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # a wrong type raises what the model's own class does
            raise unloadable(self.checkpoint, "config", error) from error
        return found.get_text_config()

    @cached_property
    def limit(self) -> int:
        """Longest sequence the model was made for."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 2**31)

    @cached_property
    def content_weights(self) -> NDArray[np.float32]:
        """ADG's weight of every token id, (V,)."""
        from core.engines.pooling import token_weights

        return token_weights(self.tokenizer)

    @cached_property
    def head(self) -> Head | None:
        """The output matrix, if hidden states times it are this model's logits."""
        return probes.head(self)

    @cached_property
    def stack(self) -> Stack | None:
        """The layers for the fast path, or None where the model has to be read its own way."""
        return probes.stack(self)

    @cached_property
    def decoder(self) -> Decoder | None:
        """Stack and head laid out for sampling, or None for the plain path."""
        if self.stack is None or self.head is None:
            return None
        return Decoder(self.stack, self.head)

    def states(
        self, tokens: "torch.Tensor", lengths: "torch.Tensor", shared: int = 0
    ) -> "torch.Tensor":
        """Last hidden states (b, t - shared, d) of token rows (b, t) padded on the right.

        `lengths` (b,) without the pads, whose states mean nothing. The first `shared` tokens are
        the same in all rows, and are left out.
        """
        if self.stack is not None:
            return last_states(self.stack, tokens, shared, lengths)
        found: torch.Tensor = self.model.base_model(tokens, use_cache=False).last_hidden_state
        return found[:, shared:]

    def shared_start(self, rows: Sequence[NDArray[np.int64]]) -> int:
        """How many tokens `states` may read once for all rows; on a card that would not pay."""
        return shared_start(rows) if self.precision.device == "cpu" else 0

    def halve(self) -> bool:
        """See `Engine.halve`."""
        if self.batch_tokens <= LEAST_TOKENS:
            return False
        self.batch_tokens //= 2
        self.halvings += 1
        return True

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Engine.lengths`."""
        return np.array([len(e) for e in self.encoded(samples, template)], np.int64)

    def response_lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """See `Engine.response_lengths`."""
        return np.array([int(e.scored.sum()) for e in self.encoded(samples, template)], np.int64)

    def encoded(self, samples: Sequence[Sample], template: Template) -> list[Encoded]:
        """See `templates.encode`; a text is tokenised once in a process.

        Raises:
            ModelError: the tokenizer knows tokens that the model does not.
        """
        found = encoded(samples, self.tokenizer, self._tokenizer_key, template)
        largest = max((int(e.ids.max()) for e in found if len(e)), default=0)
        if largest >= self.vocabulary:
            what = f"its tokenizer gives ids that its {self.vocabulary:,} embeddings do not have"
            do = (
                "Resize the model's embeddings to its tokenizer, or use the tokenizer it came with."
            )
            raise ModelError(self.checkpoint.name, what, got=largest, do=do)
        return found

    @cached_property
    def vocabulary(self) -> int:
        """Tokens that the model knows, from its config."""
        return int(self.config.vocab_size)

    @cached_property
    def _tokenizer_key(self) -> str:
        return tokenizer_key(self.checkpoint.folder)

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.token_stats`."""
        from core.engines.reading import token_stats

        return token_stats(self, samples, template, max_tokens)

    def answer_token(
        self, samples: Sequence[Sample], wording: Wording, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answer_token`."""
        from core.engines.answer_token import answer_token

        return answer_token(self, samples, wording, max_tokens)

    def answers(
        self, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answers`."""
        from core.engines.sampling import answers

        return answers(self, samples, sampling, max_tokens)

    def answer_vectors(
        self,
        samples: Sequence[Sample],
        texts: NDArray[Any],
        pooling: Pooling,
        span: Literal["answer", "full"],
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.answer_vectors`."""
        from core.engines.pooling import answer_vectors

        return answer_vectors(self, samples, texts, pooling, span, max_tokens)

    def embeddings(
        self, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.embeddings`."""
        from core.engines.pooling import embeddings

        return embeddings(self, samples, text, pooling, max_tokens)

    def gradients(
        self,
        samples: Sequence[Sample],
        template: Template,
        sketch: Sketch,
        adam: bool,
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.gradients`."""
        from core.engines.gradients import gradients

        return gradients(self, samples, template, sketch, adam, max_tokens)

    def token_heat(
        self, sample: Sample, template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.token_heat`."""
        from core.engines.token_heat import token_heat

        return token_heat(self, sample, template, max_tokens)

"""The sentence-transformers engine: one unit vector a text, and nothing else."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.engines import Pooling, Text
from core.engines.hardware import Precision
from core.engines.limited import Limited
from core.errors import ModelError
from core.models import Checkpoint, QuietTransformers
from core.templates import Template

BATCH = {"cpu": 32, "cuda": 512}  # texts in one forward pass
BLOCK_TOKENS = {"cpu": 16_384, "cuda": 1_048_576}
ASK = "Which training examples teach what this task asks for?"  # before a query


class SentenceEngine(Limited):
    """A sentence embedder. See `core.engines.Engine`.

    It always runs in float32, whatever the precision says: such models are small, and a
    near-duplicate is told by the third digit of a cosine.
    """

    kind = "a sentence embedder"

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        self.checkpoint, self.precision = checkpoint, precision
        device = precision.device.split(":")[0]
        self.batch, self.block_tokens = BATCH[device], BLOCK_TOKENS[device]

    @property
    def batch_tokens(self) -> int:
        """Tokens that are read at once, at most."""
        return self.batch * self.limit

    def halve(self) -> bool:
        """See `Engine.halve`."""
        if self.batch == 1:
            return False
        self.batch //= 2
        return True

    @cached_property
    def model(self) -> Any:
        """The checkpoint's modules on the device, in float32."""
        import torch
        from sentence_transformers import SentenceTransformer

        try:
            with QuietTransformers():
                model = SentenceTransformer(
                    self.checkpoint.folder,
                    device=self.precision.device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"dtype": torch.float32, "use_safetensors": True},
                )
        except (ValueError, OSError, KeyError, RuntimeError, ImportError) as error:
            what = "cannot be loaded as a sentence embedder"
            do = "Give a folder that sentence-transformers saved, with safetensors weights."
            raise ModelError(self.checkpoint.name, what, got=str(error)[:100], do=do) from error
        return model.eval()

    @cached_property
    def limit(self) -> int:
        """Longest text in tokens that the model reads."""
        return int(self.model.max_seq_length or 2**31)

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Tokens of the whole conversation, uncut; there is no template in it."""
        texts = [_wording(s, "conversation") for s in samples]
        ids = self.model.tokenizer(texts, verbose=False)["input_ids"] if texts else []
        return np.array([len(row) for row in ids], np.int64)

    def embeddings(
        self, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """See `Engine.embeddings`.

        Raises:
            ModelError: a pooling other than the model's own is asked for.
        """
        if pooling.kind != "sentence":
            self._cannot(f"pool by {pooling.kind}")
        texts = [_wording(s, text) for s in samples]
        empty = np.array([not t.strip() for t in texts], bool)
        self.model.max_seq_length = min(self.limit, max_tokens)
        vector = self.model.encode(  # sorts by length itself
            texts or [""],
            batch_size=self.batch,
            show_progress_bar=False,
            normalize_embeddings=True,
        )[: len(texts)]
        vector[empty] = 0
        return {"vector": vector, "empty": empty}


def _wording(sample: Sample, text: Text) -> str:
    """The text that is read; see `Engine.embeddings`. Empty stays empty, a query too."""
    if text == "instruction":
        return next((t.content for t in sample.turns if t.role == "user"), "")
    conversation = "\n\n".join(t.content for t in sample.turns if t.content.strip())
    return f"{ASK}\n\n{conversation}" if text == "query" and conversation else conversation

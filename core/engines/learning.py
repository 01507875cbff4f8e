"""The gradients of one step of an optimiser, added up over parts that fit into memory."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.domain import IntN
from core.engines import memory
from core.engines.batches import pad, token_batches
from core.engines.dropout import as_in
from core.engines.hardware import Precision
from core.progress import Stage
from core.templates import Encoded

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = {"cpu": 2048, "cuda": 8192}  # padded tokens in one forward and backward pass
SMALLER = "Use a smaller --max-tokens or a smaller model; an adapter needs less than all weights."


class Learner:
    """Adds gradients up in a model, so many tokens at once as memory holds.

    Where memory is short the step is begun anew with half as many tokens at once: what was added
    up is dropped, and the generator of dropout is set back. The loss of a part is divided by the
    tokens of the whole step, so parts of any size add up to the gradient of the same mean, and
    weights differ by rounding alone, that of the order of sums; their key is the same. A batch that
    is cut further loses by dropout what it would lose in one piece, see `core.engines.dropout`.
    """

    def __init__(self, name: str, model: Any, precision: Precision) -> None:
        self.name, self.model, self.precision = name, model, precision
        self._kind = precision.device.split(":")[0]
        self._uncut = self.batch_tokens = BATCH_TOKENS[self._kind]
        self._part = (1, 1)  # the last one's rows and tokens

    def halve(self) -> bool:
        """Cut the part that did not fit in two; False where it was one sample."""
        rows, tokens = self._part
        if rows == 1:
            return False
        self.batch_tokens = min(self.batch_tokens, rows * tokens) // 2
        return True

    def step(self, batch: Sequence[Encoded], stage: Stage) -> tuple[float, int]:
        """The gradients of the mean NLL of a batch; returns summed NLL and response tokens.

        Raises:
            RunError: there is not even memory for one sample at a time.
        """
        begun, done = self._generator(), stage.done

        def anew() -> tuple[float, int]:
            self.model.zero_grad(set_to_none=True)
            self._set(begun)
            stage.advance(done - stage.done)
            return self._added(batch, stage)

        return memory.within(self, self.name, anew, SMALLER)

    def _added(self, batch: Sequence[Encoded], stage: Stage) -> tuple[float, int]:
        import torch

        lengths = np.array([len(e) for e in batch])
        scored, total = sum(int(e.scored.sum()) for e in batch), 0.0
        for rows, whole, first in self._parts(lengths):
            part = [batch[i] for i in rows]
            self._part = (len(rows), int(lengths[rows[0]]))
            with (
                torch.autocast(self._kind, torch.bfloat16, enabled=self.precision.dtype == "bf16"),
                as_in(self.model, whole, self._part, first),
            ):
                nll = _summed_nll(self.model, part, self.precision.device)
            (nll / scored).backward()  # type: ignore[no-untyped-call]
            total += nll.item()
            stage.advance(int(lengths[rows].sum()))
        return total, scored

    def _parts(self, lengths: IntN) -> Iterator[tuple[IntN, tuple[int, int], int]]:
        """Rows of a part, the shape of the batch that it is cut from, and where it begins there.

        The generator stands where that batch begins.
        """
        for whole in token_batches(np.arange(len(lengths)), lengths, self._uncut):
            begun, first = self._generator(), 0
            for rows in token_batches(whole, lengths, self.batch_tokens):
                if first:
                    self._set(begun)
                yield rows, (len(whole), int(lengths[whole[0]])), first
                first += len(rows)

    def _generator(self) -> "torch.Tensor":
        """Where the random numbers of the device stand."""
        import torch

        cuda = self._kind == "cuda"
        return torch.cuda.get_rng_state(self.precision.device) if cuda else torch.get_rng_state()

    def _set(self, state: "torch.Tensor") -> None:
        import torch

        if self._kind == "cuda":
            torch.cuda.set_rng_state(state, self.precision.device)
        else:
            torch.set_rng_state(state)


def _summed_nll(model: Any, batch: Sequence[Encoded], device: str) -> "torch.Tensor":
    """Summed response NLL of a padded batch; the head runs on response positions only."""
    import torch

    ids, scored = pad(batch)
    tokens = torch.from_numpy(ids).to(device)
    mask = torch.from_numpy(scored[:, 1:]).to(device)
    at = mask.any(0).nonzero()[:, 0]  # positions that any row needs, for `logits_to_keep`
    logits = model(input_ids=tokens, use_cache=False, logits_to_keep=at).logits
    kept = mask[:, at]
    targets = tokens[:, 1:][:, at][kept]
    return torch.nn.functional.cross_entropy(logits[kept].float(), targets, reduction="sum")

"""The nouns of the field as frozen values.

Axis letters used everywhere: n = samples in the pool, m = queries, d = embedding width,
t = checkpoints, k = answers per instruction. Arrays with n rows are in pool order.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.endpoints import Endpoint

FloatN = NDArray[np.float64]  # (n,)
IntN = NDArray[np.int64]  # (n,)
MaskN = NDArray[np.bool_]  # (n,)
Arrays = Mapping[str, NDArray[Any]]  # name -> (n, ...)

Role = Literal["system", "user", "assistant"]
PoolKind = Literal["pool", "query"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A checked conversation: what a model is asked and what it should answer.

    The response is every assistant turn. `input` is the optional second part of an
    alpaca instruction; the first user turn ends with it, so that models see it and
    exporters can split it off again.
    """

    turns: tuple[Turn, ...]
    source: str
    input: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # scalar columns of the record
    record: str = ""  # the raw record, as JSON

    @property
    def sample_id(self) -> str:
        """Content hash of the turns: the same text is the same sample in every pool."""
        return content_hash([[t.role, t.content] for t in self.turns])

    @property
    def instruction(self) -> str:
        """The first user turn without the `input` part."""
        first = next((t.content for t in self.turns if t.role == "user"), "")
        return first.removesuffix(f"\n\n{self.input}") if self.input else first

    @property
    def response(self) -> str:
        """Every assistant turn, joined by blank lines."""
        return "\n\n".join(t.content for t in self.turns if t.role == "assistant")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not become a sample; written unchanged beside the store."""

    where: str  # path:line, or path:record N
    reason: str
    raw: str


@dataclass(frozen=True)
class Pool:
    """An ordered list of samples with a fingerprint.

    `fingerprint` is the content hash of the ids in order: two pools with the same one
    hold the same samples in the same places.
    """

    name: str
    kind: PoolKind
    fingerprint: str
    sample_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True)
class WarmUp:
    """How a checkpoint is made from the base model by a short fine-tuning.

    `fraction` of the pool is drawn with `seed`; `adapter` says which weights move: all of
    them ("full"), a LoRA adapter that is merged afterwards ("lora"), or "auto": full below
    one billion parameters.

    `saves` checkpoints are kept at equal distances, the last one at the end. With 1, an adapter
    is kept after every epoch, with the moments of its optimiser: it is small, and so one training
    serves the method that needs its end and the method that needs its way.
    """

    fraction: float
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    adapter: Literal["auto", "full", "lora"] = "auto"
    rank: int = 8  # of the adapter
    alpha: int = 16  # its scale is alpha / rank
    dropout: float = 0.0  # before its A, while it is trained
    saves: int = 1


class Rows(Protocol):
    """Rows (n, w) of which some can be had: an array, or what reads them from disk."""

    def __getitem__(self, rows: IntN) -> NDArray[np.float32]:
        """The rows at these positions, (len(rows), w)."""
        ...


@dataclass(frozen=True)
class Scores:
    """What a method returns for a pool of n samples.

    `value` (n,): higher is chosen earlier, NaN exactly where `excluded` has a reason.
    `group` (n,): bin, band or cluster for balanced policies, None where there is none.
    `excluded`: reason -> (n,) mask. `diagnostics`: named (n,) columns for store and charts, or
    (n, k) ones such as a loss trajectory or the eigenvalues of the answers.
    `similarity` (n, m): of each sample to each query, higher is closer, for the policies that
    choose by query; None where the method knows no queries.
    `features` (n, w): unit rows whose products are the cosines between samples, for the policy
    that counts near duplicates once; None where the method has none.
    """

    value: FloatN
    group: IntN | None = None
    excluded: Mapping[str, MaskN] = field(default_factory=dict)
    diagnostics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    similarity: NDArray[np.float32] | None = None
    features: Rows | None = None

    def reasons(self) -> list[str | None]:
        """Why each sample has no score, or None where it has one. First reason wins."""
        code = np.zeros(len(self.value), np.int64)
        for number, mask in enumerate(self.excluded.values(), start=1):
            code[np.asarray(mask, bool) & (code == 0)] = number
        names = np.array([None, *self.excluded], object)
        return list(names[code])


@dataclass(frozen=True)
class RunSpec:
    """What a user asks for when a pool is scored; everything that shapes the numbers.

    `model` is a name for `core.models.resolve`; `device` and `dtype` may be "auto" and are
    settled before the run is keyed. `max_tokens` bounds prompt + response; longer samples
    are excluded with that reason. `query` names the query set, for methods that need one.
    `answers` is a server that draws the answers in the model's place.
    """

    pool: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    model: str = "embedded"
    device: str = "auto"
    dtype: str = "auto"
    max_tokens: int = 4096
    query: str = ""
    answers: Endpoint | None = None


def spec_of(plain: Mapping[str, Any]) -> RunSpec:
    """A spec from the plain values that a status file holds of it."""
    answers = plain.get("answers")
    return RunSpec(**{**plain, "answers": Endpoint(**answers) if answers else None})


def content_hash(value: object, length: int = 20) -> str:
    """SHA-256 of `value` as canonical JSON, first `length` hex digits (80 bits by default).

    Independent of dict order and of Python's hash seed. Lone surrogates are kept apart
    ("surrogatepass"), so no text is refused.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf8", "surrogatepass")).hexdigest()[:length]


def id_hash(sample_ids: Sequence[str]) -> IntN:
    """52 bits of each sample's id, (n,): whole numbers that a float64 holds, too.

    An id is a content hash, so its first 13 hex digits are as good as a hash of it.
    """
    return np.array([int(sample_id[:13], 16) for sample_id in sample_ids], np.int64)

"""Engines measure samples with a model. This file says what signals may ask of one.

Every row of an answer is about the sample in the same place. A sample that cannot be measured
has NaN (or a zero row) and a flag or a count that says why; an engine never drops one.
`over_long` (b,) is True where the text exceeds `max_tokens` or the model's own limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from core.domain import IntN, Sample
from core.templates import Template

Wording = Literal["plain", "fallback", "alternative"]
Text = Literal["instruction", "conversation", "query"]
LETTERS = 26  # options of a multiple-choice question at most


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. The draw of answer j of a sample depends on seed, id and j alone."""

    k: int
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class Pooling:
    """How the hidden states of a text's tokens become one vector.

    `sentence`: the model's own way (sentence-transformers). `content`: ADG's token weights, mean
    of `layers`. `position`: RDS+, weights 1..L, last hidden state. `mean`: equal weights, last
    hidden state. `layers` are indices into the L+1 hidden states, the embeddings being the first.
    """

    kind: Literal["sentence", "content", "position", "mean"]
    layers: tuple[int, ...] = (-1,)


@dataclass(frozen=True)
class Sketch:
    """How a gradient of P numbers becomes `width` numbers.

    `sjlt`: each coordinate is added with a random sign to one of the `width` sums.
    `rademacher`: the dense +-1 matrix of the reference (TRAK's BasicProjector), slow, for parity.
    """

    kind: Literal["sjlt", "rademacher"]
    width: int
    seed: int


class Engine(Protocol):
    """What signals may ask of a model. Rows are in the order of `samples`."""

    block_tokens: int  # padded tokens in a block of a few seconds of work

    @property
    def batch_tokens(self) -> int:
        """Padded tokens that are read at once."""
        ...

    def halve(self) -> bool:
        """Read half as much at once from now on; False where less makes no sense."""
        ...

    def lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Tokens of prompt and response together, (b,); needs the tokenizer only."""
        ...

    def response_lengths(self, samples: Sequence[Sample], template: Template) -> IntN:
        """Tokens that a trainer would learn from, (b,); needs the tokenizer only."""
        ...

    def token_stats(
        self, samples: Sequence[Sample], template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """NLL and entropy of the response.

        Returns arrays (b,): `nll` and `entropy`, means in nats per response token, NaN where
        nothing was scored; `n_tokens`, response tokens scored; `over_long`; `vocabulary`, the
        number of tokens that the entropy is over.
        """
        ...

    def token_heat(
        self, sample: Sample, template: Template, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """NLL and entropy of every response token of one sample.

        Returns arrays (t,): `text`, what each token adds to the response, empty for the first
        parts of a character that is several tokens; `turn`, which response of the conversation
        it belongs to, from 0; `nll` and `entropy` in nats. Their means are those of
        `token_stats`. All are empty for an over-long sample.
        """
        ...

    def answer_token(
        self, samples: Sequence[Sample], wording: Wording, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """What the model believes at the first answer position.

        A multiple-choice sample is asked under `wording` to print one letter; any other sample
        is read up to its first response token.

        Returns arrays: `entropy` (b,) over the whole vocabulary in nats, NaN where over-long;
        `greedy` (b,) id of the likeliest token; `choice` (b,) is it multiple choice; `predicted`
        (b,) index of the option the greedy token names, -1 for none, -2 for "do not know";
        `gold` (b,) index of the right option, -1 where unknown; `options` (b, 26) log
        probability of each option's letter, NaN beyond the options; `over_long` (b,).
        """
        ...

    def answers(
        self, samples: Sequence[Sample], sampling: Sampling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """k sampled answers to each instruction (the conversation up to its last response).

        Returns arrays: `text` (b, k) UTF-8 bytes, stripped, without special tokens; `n_tokens`
        (b, k) sampled tokens, the end token counted; `ended` (b, k) whether an end token came;
        `over_long` (b,): the prompt and `max_new_tokens` do not fit, all k answers are empty. A
        server adds `refused` (b,): it would not answer, all k answers are empty.
        """
        ...

    def answer_vectors(
        self,
        samples: Sequence[Sample],
        texts: NDArray[Any],
        pooling: Pooling,
        span: Literal["answer", "full"],
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """One unit vector for each of the k answers of each sample.

        The model reads instruction, one space, answer; `span` says whose tokens are pooled.

        Returns arrays: `vector` (b, k, d) float16, zero where nothing was pooled; `gram`
        (b, k, k) float64 cosines of the unrounded vectors; `filled` (b, k) non-empty answers.
        """
        ...

    def embeddings(
        self, samples: Sequence[Sample], text: Text, pooling: Pooling, max_tokens: int
    ) -> dict[str, NDArray[Any]]:
        """One unit vector a sample.

        `instruction` reads the first user turn, `conversation` all turns, `query` all turns after
        a fixed sentence that asks for similar ones. Texts are cut at `max_tokens` and at the
        model's limit, and never flagged.

        Returns arrays: `vector` (b, d) float32, zero where the text is empty; `empty` (b,).
        """
        ...

    def gradients(
        self,
        samples: Sequence[Sample],
        template: Template,
        sketch: Sketch,
        adam: bool,
        max_tokens: int,
    ) -> dict[str, NDArray[Any]]:
        """Gradient of each sample's mean response NLL by the adapter's weights, sketched.

        `adam` gives the direction an Adam step would take from the moments kept with the
        checkpoint: m' = 0.9 m + 0.1 g, v' = 0.999 v + 0.001 g^2, m' / sqrt(v' + 1e-8).

        Returns arrays: `gradient` (b, width) float16 unit rows, zero where nothing was scored;
        `norm` (b,) float32 of the raw gradient; `nll` (b,); `n_tokens` (b,); `over_long` (b,).
        """
        ...

"""Answer divergence: how far, and in how many directions, a model's own answers spread.

The model answers each instruction k times; u_1..u_k are unit vectors of the answers. With their
cosines G (k, k), J = I - 11^T / k and the eigenvalues l1 >= ... >= lk >= 0 of J G J:

    dispersion D = sum(l) / k        mean squared distance to the centroid, 0..1
    anisotropy I = 1 - l1 / sum(l)   share of the spread outside the main direction, 0..1-1/(k-1)
    value        = (1 - weight) D + weight I

Answers that agree (sum(l) < 1e-12) have D = I = 0. The HIGHEST value is chosen first, by quotas
over bins of similar instructions. D is often a few hundredths where I is several tenths, so
that I dominates; `mixing` can level them. Source: ADG, arXiv 2604.10448, and the authors' code.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.domain import Arrays, FloatN, IntN, MaskN, Scores
from core.engines import Pooling, Sampling
from core.methods import Method
from core.methods.spread import EPS, dispersion_anisotropy, spectrum
from core.signals import Answers, AnswerVectors, Embedding, Signal

LAYERS = {"-4,-3,-2": (-4, -3, -2), "-4,-3,-2,-1": (-4, -3, -2, -1), "-2": (-2,), "-1": (-1,)}
REFUSED = "answers_refused"  # told by a server of answers alone
SHOWN = (  # what `reduce` gives and charts show
    *("eigenvalues", "spectral_entropy", "top_share", "mean_cosine", "eigenvalue_ratio"),
    *("instability", "n_answers", "answer_tokens", "answers_ended"),
)


class AnswerDivergence(Method):
    """ADG: prefer instructions that a model answers in different ways."""

    name = "answer_divergence"
    title = "Answer divergence"
    paper = "ADG (arXiv 2604.10448)"
    policy = "quotas"
    columns = ("dispersion", "anisotropy", "n_answers")
    pointwise = False  # bins, and levelled mixing, see the whole pool
    fixed = frozenset({"bins", "seed"})

    k: int = Field(5, ge=2, le=32, description="answers sampled to each instruction")
    temperature: float = Field(1.4, ge=0.01, le=5, description="temperature of the sampling")
    top_p: float = Field(0.9, gt=0, le=1, description="mass of the likeliest tokens drawn from")
    max_new_tokens: int = Field(256, ge=1, le=4096, description="longest answer in tokens")
    seed: int = Field(42, ge=0, lt=2**32, description="seed of the answers and of the bins")
    span: Literal["answer", "full"] = Field(
        "answer",
        description="tokens that are pooled: the answer's, or the instruction's too (the authors'"
        " code, in which a long shared instruction shrinks the dispersion)",
    )
    layers: Literal["-4,-3,-2", "-4,-3,-2,-1", "-2", "-1"] = Field(
        "-4,-3,-2", description="hidden states that are averaged; -1 is the last, after its norm"
    )
    bins: int = Field(1000, ge=1, le=100_000, description="clusters of similar instructions")
    bin_vectors: Literal["sentence", "content"] = Field(
        "sentence",
        description="vectors that are binned: a sentence embedder's, or the model's own pooled as"
        " the answers are (the authors' code)",
    )
    weight: float = Field(0.4, ge=0, le=1, description="share of the anisotropy (lambda)")
    mixing: Literal["raw", "rank", "z"] = Field(
        "raw", description="scale on which both are mixed: as they are, ranks in 0..1, z-scores"
    )
    min_answers: int = Field(2, ge=2, le=32, description="fewest answers with any content")

    def needs(self) -> Mapping[str, Signal]:
        """The answers, a vector of each, and a vector of each instruction."""
        pooling = Pooling("content", LAYERS[self.layers])
        answers = Answers(
            sampling=Sampling(self.k, self.temperature, self.top_p, self.max_new_tokens, self.seed)
        )
        instructions = (
            Embedding(checkpoint="embedder", model="minilm")
            if self.bin_vectors == "sentence"
            else Embedding(pooling=pooling)
        )
        vectors = AnswerVectors(answers=answers, pooling=pooling, span=self.span)
        return {"answers": answers, "vectors": vectors, "instructions": instructions}

    def reduce(self, x: Arrays) -> Arrays:
        """Spectra and cosines of the answers, and the bin of each instruction.

        An answer without content has a zero vector; it is no point of the cloud and does not
        count. `cosines` (n, k * k) float32 are for the app; `score` reads the rest.
        """
        gram = np.asarray(x["vectors_gram"], np.float64)
        counted = np.asarray(x["vectors_filled"], bool) & (np.einsum("njj->nj", gram) > 0.5)
        n_tokens = np.asarray(x["answers_n_tokens"], np.float64)
        shape = spectrum(gram, counted)
        ratio = shape["eigenvalue_ratio"]
        return {
            **shape,
            "eigenvalue_ratio": np.where(np.isfinite(ratio), ratio, np.nan),  # for charts
            "n_answers": counted.sum(1),
            "answer_tokens": n_tokens.mean(1),
            "answers_ended": np.asarray(x["answers_ended"], np.float64).mean(1),
            "over_long": np.asarray(x["answers_over_long"], bool),
            **({"refused": np.asarray(x[REFUSED], bool)} if REFUSED in x else {}),
            "cosines": gram.reshape(len(gram), gram.shape[1] ** 2).astype(np.float32),
            "bin": instruction_bins(x["instructions_vector"], x["id_hash"], self.bins, self.seed),
        }

    def score(self, x: Arrays) -> Scores:
        """Value = (1 - weight) D + weight I (higher is chosen earlier), group = bin."""
        n_answers = np.asarray(x["n_answers"], np.int64)
        gone = {"longer than the token limit": np.asarray(x["over_long"], bool)}
        if "refused" in x:
            gone["refused by the server"] = np.asarray(x["refused"], bool)
        unasked = np.logical_or.reduce(list(gone.values()))
        few = (n_answers < self.min_answers) & ~unasked
        usable = ~(unasked | few)
        d, i = dispersion_anisotropy(np.asarray(x["eigenvalues"], np.float64), n_answers)
        parts = [mixed(part, usable, self.mixing) for part in (d, i)]
        value = (1 - self.weight) * parts[0] + self.weight * parts[1]
        return Scores(
            np.where(usable, value, np.nan),
            group=np.asarray(x["bin"], np.int64),
            excluded={
                **gone,
                "fewer answers with content than min_answers": few,
            },
            diagnostics={"dispersion": d, "anisotropy": i}
            | {name: np.asarray(x[name], np.float64) for name in SHOWN},
        )


def mixed(part: FloatN, usable: MaskN, mixing: str) -> FloatN:
    """`part` (n,) on the scale it is mixed on; only usable samples make the scale."""
    from scipy.stats import rankdata

    if mixing == "raw" or not usable.any():
        return part
    known = np.sort(part[usable])  # sorted, so that no order of the pool changes a sum
    if mixing == "z":
        return np.asarray((part - known.mean()) / max(known.std(), EPS))
    ranks = np.zeros(len(part))
    ranks[usable] = (rankdata(part[usable]) - 1) / max(len(known) - 1, 1)
    return ranks


def instruction_bins(vectors: NDArray[Any], id_hash: IntN, bins: int, seed: int) -> IntN:
    """Cluster (n,) of each instruction's vector (n, d), by mini-batch k-means.

    There are no more clusters than different vectors. Rows are taken in the order of their hash,
    so that the order of the pool does not matter.
    """
    from sklearn.cluster import MiniBatchKMeans

    if not len(vectors):
        return np.zeros(0, np.int64)
    order = np.argsort(np.asarray(id_hash), kind="stable")
    rows = np.asarray(vectors, np.float32)[order]
    means = MiniBatchKMeans(
        min(bins, len(np.unique(rows, axis=0))),
        random_state=seed,
        batch_size=max(1, min(1000, len(rows) // 10)),
        n_init=3,
        max_iter=100,
    )
    out = np.zeros(len(rows), np.int64)
    out[order] = means.fit_predict(rows)
    return out

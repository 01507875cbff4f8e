"""Invented samples and measurements with realistic shapes, for stores of any size.

Nothing here was measured. A few latent numbers a sample (source, island, difficulty, length) shape
all columns, so that charts have something to show: scores differ by source, lengths confound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Sample, Turn
from core.maps import FLOORS, NEIGHBOURS, Map
from core.methods.spread import spectrum
from core.neighbours import Links

SOURCES = ("web", "code", "maths", "exam", "chat", "rewriting", "facts", "stories")
SHARES = (0.3, 0.18, 0.14, 0.1, 0.1, 0.08, 0.06, 0.04)
EXAM = SOURCES.index("exam")
ISLANDS, STEPS, K, QUERIES, OPTIONS = 24, 6, 5, 16, 26
BATCH = 20_000  # samples made at a time
VERBS = ("Explain", "Summarise", "Compare", "List", "Translate", "Correct", "Describe", "Solve")
THINGS = (
    "rivers", "fractions", "pointers", "bread", "contracts", "tides", "verbs", "magnets", "chess",
    "taxes", "bees", "glaciers", "queues", "poems", "maps", "batteries", "roofs", "vaccines",
    "clocks", "kites", "atoms", "sorting", "trains", "soil",
)  # fmt: skip
WORDS = (
    "the of a to in is that it as for with on are by this from or an be which one when there "
    "number first second then because however result value each other time place people small "
    "large water light word line step between after before under over while where so thus 12 7 "
    "therefore example function return order answer question part whole half again"
)


@dataclass(frozen=True)
class Latent:
    """What shapes the numbers of n samples, (n,) each."""

    source: NDArray[np.int64]  # number in SOURCES
    island: NDArray[np.int64]  # number in THINGS
    hard: NDArray[np.float64]  # about normal
    n_tokens: NDArray[np.float64]  # of the response

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.source)


def latent(n: int, seed: int = 0) -> Latent:
    """Draw the latent numbers."""
    rng = np.random.default_rng(seed)
    source = rng.choice(len(SOURCES), n, p=SHARES)
    island = (3 * source + rng.integers(0, 6, n)) % ISLANDS
    hard = 0.8 * rng.standard_normal(n) + 0.3 * (source - 3.5) / 3.5
    tokens = np.exp(rng.normal(3.6 + 0.06 * source, 0.6)).astype(np.int64).clip(1, 400)
    return Latent(source, island, hard, tokens.astype(np.float64))


def samples(world: Latent, seed: int = 1) -> Iterator[list[Sample]]:
    """The samples in batches: an instruction that is no other's, and words cut from one tape."""
    rng = np.random.default_rng(seed)
    tape = " ".join(rng.choice(WORDS.split(), 200_000).tolist())
    for start in range(0, world.n, BATCH):
        rows = range(start, min(world.n, start + BATCH))
        cuts = rng.integers(0, len(tape) - 2_500, len(rows)).tolist()
        yield [_sample(world, row, tape, cut) for row, cut in zip(rows, cuts, strict=True)]


def _sample(world: Latent, row: int, tape: str, cut: int) -> Sample:
    source, thing = SOURCES[int(world.source[row])], THINGS[int(world.island[row])]
    asked = f"{VERBS[row % len(VERBS)]} {thing} in {2 + row % 5} sentences, case {row:,}."
    answer = tape[cut : cut + 6 * int(world.n_tokens[row])]
    meta: dict[str, Any] = {"level": 1 + row % 5}
    if source == "exam":
        letter = "ABCD"[row % 4]
        asked += "\n\nA. one\nB. two\nC. three\nD. four"
        answer = f"{letter}. {answer}"
        meta |= {"options": '{"A": "one", "B": "two", "C": "three", "D": "four"}'}
        meta |= {"answer_idx": letter}
    return Sample((Turn("user", asked), Turn("assistant", answer)), source, "", meta)


def token_stats(world: Latent, shift: float, seed: int) -> dict[str, NDArray[Any]]:
    """As `Engine.token_stats`: `shift` lowers entropy and NLL, more so where it is hard."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).standard_normal(world.n)  # what all checkpoints share
    entropy = np.exp(0.35 * world.hard + 0.25 * base) * (1 - shift) + 0.1
    entropy += 0.05 * (1 + shift) * rng.standard_normal(world.n)
    nll = 0.9 * entropy + 0.3 * np.abs(base) + 0.05 * rng.standard_normal(world.n)
    return {
        "nll": np.maximum(nll, 0.01),
        "entropy": np.maximum(entropy, 0.01),
        "n_tokens": world.n_tokens,
        "over_long": world.n_tokens > 398,
        "vocabulary": np.full(world.n, 49_152),
    }


def answer_token(world: Latent, seed: int = 3) -> dict[str, NDArray[Any]]:
    """As `Engine.answer_token`: questions are those of the exam; harder ones go wrong."""
    rng = np.random.default_rng(seed)
    choice = world.source == EXAM
    gold = np.where(choice, np.arange(world.n) % 4, -1)
    sure = 1 / (1 + np.exp(world.hard + 0.5 * rng.standard_normal(world.n)))
    right = rng.random(world.n) < 0.25 + 0.7 * sure
    predicted = np.where(choice, np.where(right, gold, (gold + 1) % 4), -1)
    options = np.full((world.n, OPTIONS), np.nan, np.float32)
    rows = np.flatnonzero(choice)
    other = ((1 - sure[rows]) / 4)[:, None] + 0.01 * rng.random((len(rows), 4))
    other[np.arange(len(rows)), predicted[rows]] += sure[rows]
    options[rows, :4] = np.log(other / (1.05 * other.sum(1, keepdims=True)))
    return {
        "entropy": 2.2 * (1 - sure) + 0.1 * rng.random(world.n),
        "greedy": rng.integers(0, 1000, world.n),
        "choice": choice,
        "predicted": predicted,
        "gold": gold,
        "options": options,
        "over_long": np.zeros(world.n, bool),
    }


def clouds(world: Latent, seed: int = 4) -> dict[str, NDArray[Any]]:
    """What answer divergence keeps of the sampled answers: eigenvalues and cosines of a cloud."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, world.n, BATCH):
        hard = world.hard[start : start + BATCH]
        spread = (0.25 * np.exp(0.5 * hard))[:, None, None]
        vector = 1 + spread * rng.standard_normal((len(hard), K, 8))
        vector /= np.linalg.norm(vector, axis=2, keepdims=True)
        gram = vector @ vector.swapaxes(1, 2)
        flat = {"cosines": gram.reshape(len(hard), K * K).astype(np.float32)}
        parts.append(spectrum(gram, np.ones((len(hard), K), bool)) | flat)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined | {
        "n_answers": np.full(world.n, K),
        "answer_tokens": np.minimum(world.n_tokens, 128),
        "answers_ended": rng.random(world.n),
        "over_long": world.n_tokens > 398,
        "bin": world.island,
    }


def similarities(world: Latent, seed: int = 5) -> NDArray[np.float32]:
    """(n, QUERIES) cosines: each query is near two islands; one is near none."""
    rng = np.random.default_rng(seed)
    near = rng.uniform(-0.05, 0.1, (ISLANDS, QUERIES))
    for query in range(QUERIES - 1):
        near[[query, (query + 7) % ISLANDS], query] += 0.3
    out = near.astype(np.float32)[world.island]
    out += 0.06 * rng.standard_normal(out.shape, dtype=np.float32)
    return out


def trajectories(world: Latent, seed: int = 6) -> NDArray[np.float64]:
    """(n, STEPS) losses: some are learned early, some late, some never."""
    rng = np.random.default_rng(seed)
    pace = (world.island % 3)[:, None]  # early, late, never
    at = np.linspace(0, 1, STEPS)
    fall = np.where(pace == 0, 1 - at**0.5, np.where(pace == 1, 1 - at**3, 0.9 + 0.1 * (1 - at)))
    start = 2.5 + 0.5 * world.hard[:, None]
    noise = 0.05 * rng.standard_normal((world.n, STEPS))
    return np.maximum(0.3 + (start - 0.3).clip(0.2) * fall + noise, 0.01)


def islands(world: Latent, seed: int) -> Map:
    """A map of n samples in blobs, one a thing, with neighbours from the same one."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-10, 10, (ISLANDS, 2)).astype(np.float32)
    wide = rng.uniform(0.4, 1.4, ISLANDS).astype(np.float32)
    places = rng.standard_normal((world.n, 2), dtype=np.float32)
    places = centre[world.island] + wide[world.island, None] * places
    order = np.argsort(world.island, kind="stable")
    neighbours = np.full((world.n, NEIGHBOURS), -1, np.int32)
    for column in range(NEIGHBOURS):
        neighbours[order, column] = np.roll(order, -1 - column)
    cosines = 0.95 - 0.02 * np.arange(NEIGHBOURS) + 0.01 * rng.random((world.n, 1))
    apart = np.flatnonzero(world.island[order[:-1]] == world.island[order[1:]])[::200]
    ends = np.sort(np.stack([order[apart], order[apart + 1]]), axis=0).astype(np.int32)
    found = Links(*ends, rng.uniform(0.85, 1.0, len(apart)), FLOORS["cosine"])
    none = Links(*np.empty((2, 0), np.int32), np.empty(0), FLOORS["minhash"])
    size = np.bincount(world.island, minlength=ISLANDS)
    number = np.argsort(np.argsort(-size, kind="stable"))
    labels = tuple(THINGS[k] for k in np.argsort(-size, kind="stable").tolist())
    return Map(
        places,
        number[world.island],
        labels,
        neighbours,
        cosines.astype(np.float32),
        {"cosine": found, "minhash": none},
        "invented",
    )

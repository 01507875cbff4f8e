"""Clusters of vectors, and the words that set each cluster's texts apart."""

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import IntN

MOST = 24  # clusters a person can tell apart on a map
BATCHED = 20_000  # rows from which k-means goes by batches
WORD = r"(?u)\b[^\W\d_][^\W_]+\b"  # two characters or more, the first a letter
ALSO = {"did", "does", "doing"}  # stop words that are missing in scikit-learn's list


def cluster(vectors: NDArray[Any], seed: int) -> IntN:
    """k-means clusters (n,) of the rows (n, d), numbered by size, the largest 0.

    k is the root of n / 2, at most `MOST`. Deterministic for the same rows in the same order.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    n = len(vectors)
    k = int(np.clip(round(np.sqrt(n / 2)), 1, MOST))
    if n <= k:
        return np.arange(n, dtype=np.int64)
    shared = {"n_clusters": k, "n_init": 4, "random_state": seed}
    big = n > BATCHED
    model = MiniBatchKMeans(batch_size=4096, **shared) if big else KMeans(**shared)
    with warnings.catch_warnings(), threadpool_limits(1):  # sums in one order on every machine
        warnings.filterwarnings("ignore", "Number of distinct clusters")  # equal rows
        return by_size(model.fit_predict(np.asarray(vectors, np.float32)))


def by_size(group: NDArray[Any]) -> IntN:
    """Renumber clusters (n,) from the largest to the smallest; equal sizes by first member."""
    names, first, inverse, size = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    number = np.empty(len(names), np.int64)
    number[np.lexsort((first, -size))] = np.arange(len(names))
    return number[inverse]


def label(texts: Iterable[str], group: IntN, n_terms: int = 3) -> list[str]:
    """A label for each cluster 0..c-1, e.g. "train, speed, hours"; empty without any word.

    c-TF-IDF (Grootendorst, BERTopic, arXiv 2203.05794): the texts of a cluster are one document,
    and a term weighs tf * log(1 + A / f), with tf its share of the cluster's words, f its count
    in all clusters and A the mean number of words of a cluster. English stop words are left out;
    equal weights go by the alphabet. A group of -1 is no cluster.
    """
    terms, weight = term_weights(texts, group)
    labels = []
    for row in weight:
        best = np.argsort(-row, kind="stable")[:n_terms]
        labels.append(", ".join(terms[t] for t in best if row[t] > 0))
    return labels


def term_weights(texts: Iterable[str], group: IntN) -> tuple[list[str], NDArray[np.float64]]:
    """The terms in alphabetical order, and their c-TF-IDF in each cluster (c, terms).

    Texts are read one after the other; memory is taken by the words that there are.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    stop = sorted(ENGLISH_STOP_WORDS | ALSO)
    words_of = CountVectorizer(stop_words=stop, token_pattern=WORD).build_analyzer()
    counts = [Counter[str]() for _ in range(int(group.max(initial=-1)) + 1)]
    for text, number in zip(texts, group.tolist(), strict=True):
        if number >= 0:
            counts[number].update(words_of(text))
    terms = sorted(set[str]().union(*counts))
    place = {term: k for k, term in enumerate(terms)}
    frequency = np.zeros((len(counts), len(terms)))  # (c, terms)
    for row, of_cluster in zip(frequency, counts, strict=True):
        for term, count in of_cluster.items():
            row[place[term]] = count
    if not terms:  # no word in any text
        return [], frequency
    words = frequency.sum(axis=1, keepdims=True)
    share = frequency / np.maximum(words, 1)
    return terms, share * np.log1p(words.mean() / frequency.sum(axis=0))

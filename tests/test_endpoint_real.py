"""Answers from a real server: `transformers serve` with the embedded model, on this machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from calls import jsonl, rows

from benchmarks.endpoint import lacking, sampling_copy, served
from core import blocks, config, pools, runs, store
from core.domain import RunSpec, Sample
from core.endpoints import Endpoint
from core.engines import Sampling
from core.engines.endpoint import EndpointEngine
from core.engines.line import named
from core.errors import EndpointError
from core.models import Checkpoint
from core.store import pools as stored_pools

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(bool(lacking()), reason=f"transformers serve needs {lacking()}"),
]
K, TOKENS = 3, 12
SAMPLING = Sampling(K, 1.2, 0.95, TOKENS, 42)


@pytest.fixture(scope="module")
def at(embedded: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("served")
    with served(sampling_copy(embedded, folder / "model"), folder / "log.txt") as found:
        yield found


def draw(at: Endpoint, samples: list[Sample], sampling: Sampling = SAMPLING) -> EndpointEngine:
    engine = EndpointEngine(at)
    try:
        engine.found = engine.answers(samples, sampling, 4096)  # type: ignore[attr-defined]
    finally:
        engine.close()
    return engine


def test_a_real_server_answers_every_sample_k_times(at: Endpoint, samples: list[Sample]) -> None:
    some = [*samples[:3], samples[-2], samples[-1]]  # one of several turns, one with a system turn
    engine = draw(at, some)
    found = engine.found  # type: ignore[attr-defined]
    assert (engine.counts.drawn, engine.counts.samples) == (5, 5)
    assert found["text"].shape == (5, K)
    assert (np.char.str_len(found["text"]) > 0).mean() > 0.8
    assert (found["n_tokens"] >= 1).all()
    assert (found["n_tokens"] <= TOKENS).all()
    assert (found["ended"] | (found["n_tokens"] == TOKENS)).all()
    assert all(len(set(row.tolist())) > 1 for row in found["text"])  # they are drawn
    assert not engine.several  # it takes n, and gives one answer


def test_one_request_at_a_time_gives_the_same_answers_again(
    at: Endpoint, samples: list[Sample]
) -> None:
    alone = Endpoint(at.url, at.model, 1)
    first, again = (draw(alone, samples[:2]).found for _ in range(2))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first["text"], again["text"])


def test_a_run_reads_the_answers_of_a_real_server_with_its_own_model(
    at: Endpoint, embedded_cache: Path
) -> None:
    pools.import_files([jsonl(embedded_cache.parent / "pool.jsonl", rows(4))], "pool")
    params = {"k": K, "max_new_tokens": TOKENS, "bins": 2, "bin_vectors": "content"}
    run = runs.execute(RunSpec("pool", "answer_divergence", params, device="cpu", answers=at)).run
    assert run.n_scored == run.n == 4
    assert run.card["answers"] == at.card()
    assert run.card["checkpoints"]["vectors"]["name"] == "embedded"
    with store.connect() as con:
        ids = stored_pools.get_pool(con, "pool").sample_ids
    found = {
        name: blocks.gather(config.folder("blocks") / run.card["parts"][name], ids)
        for name in ("answers", "vectors")
    }
    filled = np.char.str_len(found["answers"]["text"]) > 0
    np.testing.assert_array_equal(found["vectors"]["filled"], filled)


def test_a_real_server_that_does_not_sample_is_found_out(
    embedded: Checkpoint, samples: list[Sample], tmp_path: Path
) -> None:
    greedy = sampling_copy(embedded, tmp_path / "model", do_sample=False)
    with served(greedy, tmp_path / "log.txt") as at, pytest.raises(EndpointError) as found:
        draw(at, samples[:1])
    assert "does not sample" in str(found.value)
    assert "do_sample" in str(found.value)


def test_a_real_server_names_the_model_that_it_has(at: Endpoint, samples: list[Sample]) -> None:
    with pytest.raises(EndpointError, match=r"declines what it is asked. Got .*pinned"):
        draw(Endpoint(at.url, "org/other"), samples[:1])
    with pytest.raises(EndpointError, match=r"has no chat completions \(404\)"):
        draw(Endpoint(at.url.replace("/v1", "/api"), at.model), samples[:1])
    with pytest.raises(EndpointError, match="--answers-model"):
        named(Endpoint(at.url))

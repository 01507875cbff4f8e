"""Answers from a real server: `transformers serve` with the embedded model, on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import jsonl, rows
from endpoint_server import QUICK

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
K, TOKENS = 2, 6
SAMPLING = Sampling(K, 1.2, 0.95, TOKENS, 42)


@pytest.fixture(scope="module")
def at(embedded: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("served")
    sampling_copy(embedded, folder / "greedy", do_sample=False)
    drawing = sampling_copy(embedded, folder / "drawing")
    with served(drawing, folder / "log.txt", pinned=False) as found:
        yield found


def draw(at: Endpoint, samples: list[Sample]) -> tuple[EndpointEngine, dict[str, Any]]:
    engine = EndpointEngine(at, QUICK)
    try:
        return engine, engine.answers(samples, SAMPLING, 4096)
    finally:
        engine.close()


def test_a_real_server_answers_every_sample_k_times(at: Endpoint, samples: list[Sample]) -> None:
    some = [samples[0], samples[-2], samples[-1]]  # one of several turns, one with a system turn
    engine, found = draw(at, some)
    assert (engine.counts.drawn, engine.counts.samples) == (3, 3)
    assert not engine.several  # it takes n, and gives one answer
    assert found["text"].shape == (3, K)
    assert (np.char.str_len(found["text"]) > 0).any(1).all()
    assert (found["n_tokens"] >= 1).all()
    assert (found["n_tokens"] <= TOKENS).all()
    assert (found["ended"] | (found["n_tokens"] == TOKENS)).all()
    assert any(len(set(row.tolist())) > 1 for row in found["text"])  # they are drawn


def test_a_run_reads_the_answers_of_a_real_server_with_its_own_model(
    at: Endpoint, embedded_cache: Path
) -> None:
    pools.import_files([jsonl(embedded_cache.parent / "pool.jsonl", rows(3))], "pool")
    params = {"k": K, "max_new_tokens": TOKENS, "bins": 2, "bin_vectors": "content"}
    run = runs.execute(RunSpec("pool", "answer_divergence", params, device="cpu", answers=at)).run
    assert run.card["answers"] == at.card()
    assert run.card["checkpoints"]["vectors"]["name"] == "embedded"
    with store.connect() as con:
        ids = stored_pools.get_pool(con, "pool").sample_ids
    drawn, read = (
        blocks.gather(config.folder("blocks") / run.card["parts"][name], ids)
        for name in ("answers", "vectors")
    )
    filled = np.char.str_len(drawn["text"]) > 0
    assert run.n_scored == (filled.sum(1) >= 2).sum()
    np.testing.assert_array_equal(read["filled"], filled)


def test_a_real_server_that_does_not_sample_is_found_out(
    at: Endpoint, samples: list[Sample]
) -> None:
    greedy = str(Path(at.model).with_name("greedy"))
    with pytest.raises(EndpointError, match=r"does not sample.* do_sample in the model's"):
        draw(Endpoint(at.url, greedy), samples[:1])


def test_a_real_server_refuses_in_one_sentence(at: Endpoint, samples: list[Sample]) -> None:
    with pytest.raises(EndpointError, match=r"has no chat completions \(404\)"):
        draw(Endpoint(at.url.replace("/v1", "/api"), at.model), samples[:1])
    with pytest.raises(EndpointError, match="does not tell which models it has"):
        named(Endpoint(at.url), QUICK)

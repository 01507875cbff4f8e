"""`sftlens doctor --bench` and `score --dry-run`, as a person calls them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
from calls import METHOD, sftlens
from streamlit.testing.v1 import AppTest

from core import config, doctor, hours, kept_rates, pools, runs, speed, store, timings
from core.domain import RunSpec, Sample
from core.engines.hardware import Precision
from core.errors import ModelError, PoolError
from core.methods import catalogue
from core.models import Checkpoint, resolve
from core.progress import Progress

CPU = Precision("cpu", "fp32")
QUIET = Progress(quiet=True)
FAKE = ("fake", "", "cpu", "fp32", QUIET)


@pytest.fixture
def pool() -> str:
    path = config.cache_dir().parent / "pool.jsonl"
    rows = [{"instruction": f"Task {i}", "output": "word " * (2 + i % 9)} for i in range(30)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf8")
    pools.import_files([path], "pool")
    return "pool"


@pytest.fixture
def small(tmp_path: Path) -> Checkpoint:
    tiny.save_model(tmp_path / "small", tiny.byte_bpe(tiny.CHATML))
    return resolve(str(tmp_path / "small"))


def bench(checkpoint: Checkpoint) -> speed.Bench:
    return speed.Bench(checkpoint, CPU, share_s=0.05)


def test_every_kind_of_work_that_a_model_can_do_is_timed(small: Checkpoint) -> None:
    work, told = bench(small), dict[str, str]()
    rates = timings.measured(work, work.kinds(), "a test", told.__setitem__)
    assert list(told) == list(work.kinds())
    assert set(rates.per_s) == {k for kind in work.kinds() for k in timings.GIVES[kind]}
    assert all(rate > 0 for rate in rates.per_s.values())
    assert 0 <= rates.ends < 1
    assert rates.limit == 256
    kept_rates.keep(rates)
    assert kept_rates.kept(small, CPU) == rates


def test_a_sentence_embedder_is_timed_by_its_sentences() -> None:
    work = bench(resolve("minilm"))
    rates = timings.measured(work, work.kinds(), "a test", lambda *_: None)
    assert set(rates.per_s) == {"sentence embedding"}
    assert rates.path == "sentence-transformers"


def test_which_way_a_model_is_run_is_told(tmp_path: Path, small: Checkpoint) -> None:
    assert bench(small).path() == "fast path"
    other = tiny.save_model(tmp_path / "other", tiny.byte_bpe(tiny.CHATML), "gpt2")
    assert bench(other).path() == "plain transformers path"


def test_a_kind_is_timed_on_as_many_samples_as_fill_its_time() -> None:
    work, seen = speed.Bench(Checkpoint("fake", "", "", "fake"), CPU, share_s=0.2), list[int]()

    def go(some: Any) -> None:
        seen.append(len(some))
        time.sleep(0.001 * len(some))

    chosen, seconds = work.timed(go)
    assert seen[-1] == len(chosen) > seen[0]
    assert seconds > 0
    patient = speed.Bench(Checkpoint("fake", "", "", "fake"), CPU, share_s=1e-9)
    few, _ = patient.timed(go)
    assert len(few) == speed.FEW


def test_the_corpus_is_the_demo_and_a_pool_of_it_has_ids_of_its_own() -> None:
    assert len(speed.corpus()) == 160
    made = hours.invented(1000)
    assert len(set(made.sample_ids)) == 1000
    assert all(isinstance(s, Sample) for s in speed.corpus())


def test_hours_are_told_for_the_pool_named_else_for_all_else_for_one_like_the_demo(
    request: pytest.FixtureRequest,
) -> None:
    assert [p.name for p in hours.all_pools()] == [hours.LIKE]
    with pytest.raises(store.NoStoreError):
        hours.all_pools("pool")
    request.getfixturevalue("pool")
    assert [p.name for p in hours.all_pools()] == ["pool"]
    with pytest.raises(PoolError, match="no pool by this name"):
        hours.all_pools("nope")


@pytest.mark.usefixtures("pool")
def test_doctor_tells_every_stage_and_every_method_and_keeps_the_rates() -> None:
    lines = list(doctor.bench(*FAKE))
    text = "\n".join(lines)
    assert "fake: cpu, fp32" in text
    for kind in speed.Bench(resolve("fake"), CPU).kinds():
        assert f"\n  {kind} " in text
    assert "pool: from the start" in text
    for cls in catalogue().values():
        needed = cls.measures and bool(cls().needs())
        assert (f"\n  {cls.name} " in text) == needed
    assert "unknown" not in text
    assert kept_rates.kept(resolve("fake"), CPU) is not None


@pytest.mark.usefixtures("pool")
def test_hours_are_those_of_the_whole_pool_whatever_is_measured() -> None:
    list(doctor.bench(*FAKE))
    [pool] = hours.all_pools("pool")

    def told() -> dict[str, float | None]:
        return {m.name: e.seconds for m, e in hours.by_method(pool, "fake", CPU)}

    before = told()
    runs.execute(RunSpec("pool", "perplexity", {}, "fake", "cpu", "fp32"))
    assert told() == before


def test_a_wrong_model_or_pool_is_told_before_anything_is_timed(pool: str) -> None:
    with pytest.raises(PoolError, match="Use one of: pool"):
        next(doctor.bench("fake", "nope", "cpu", "fp32", QUIET))
    with pytest.raises(ModelError, match="is not a model I can find"):
        next(doctor.bench("nope", "", "cpu", "fp32", QUIET))
    assert not (config.cache_dir() / "bench").exists()


@pytest.mark.usefixtures("pool")
def test_a_person_is_told_speed_and_then_cost_by_the_command_line() -> None:
    timed = sftlens("doctor", "--bench", "--model", "fake", "--device", "cpu")
    assert timed.returncode == 0, timed.stderr
    assert "timing fake" in timed.stderr
    dry = sftlens("score", "pool", METHOD, "--model", "fake", "--device", "cpu", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stderr == ""  # nothing was timed again
    for word in ("measuring base", "measuring calibrated", "scoring", "time ", "disk ", "rates "):
        assert word in dry.stdout
    wrong = sftlens("score", "nope", METHOD, "--model", "fake", "--dry-run")
    assert (wrong.returncode, wrong.stdout, len(wrong.stderr.splitlines())) == (2, "", 1)
    assert not (config.cache_dir() / "blocks").exists()


def runs_page() -> AppTest:
    page = AppTest.from_file(config.ROOT / "app.py", default_timeout=60).run()
    page.switch_page("pages/runs.py").run()
    page.text_input(key="runs_model").set_value("fake").run()
    page.selectbox(key="runs_dtype").set_value("fp32").run()
    page.selectbox(key="runs_method").set_value("perplexity").run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    return "\n".join(str(e.value) for e in [*page.markdown, *page.caption])


@pytest.mark.usefixtures("pool")
def test_the_runs_page_tells_how_to_get_an_estimate_then_tells_it_then_that_it_is_done() -> None:
    assert "sftlens doctor --bench" in said(runs_page())
    list(doctor.bench(*FAKE))
    assert "in one process, and" in said(runs_page())
    runs.execute(RunSpec("pool", "perplexity", {}, "fake", "cpu", "fp32"))
    assert "in the store already" in said(runs_page())

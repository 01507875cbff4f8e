"""What a run would cost is told truly before it starts: seconds, bytes, and a disk too small."""

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from core import blocks, config, forecast, kept_rates, pools, runs, timings
from core.counting import spread
from core.domain import RunSpec
from core.engines import hf
from core.engines.hardware import Precision
from core.errors import ConfigError, ModelError
from core.estimates import (
    Cost,
    Estimate,
    Rates,
    Stage,
    cost,
    longest,
    sampled,
    size,
    two_rates,
)
from core.models import Checkpoint, resolve

METHODS = ("differential_entropy", "answer_divergence", "answer_entropy", "ifd", "perplexity")
N = 60
CPU = Precision("cpu", "fp32")


def rows(n: int = N, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Task {start + i}: say {(start + i) % 7} words",
            "output": "word " * (2 + i % 9),
            "source": f"s{i % 3}",
        }
        for i in range(n)
    ]


def make(name: str, records: list[dict[str, Any]], kind: Any = "pool") -> None:
    path = config.cache_dir().parent / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf8")
    pools.import_files([path], name, kind)


@pytest.fixture
def pool() -> str:
    make("pool", rows())
    make("asked", rows(5, 1000), "query")
    return "pool"


def spec(method: str = "differential_entropy", **more: Any) -> RunSpec:
    query = "asked" if method in ("gradient_similarity", "") else ""
    given = {"model": "fake", "device": "cpu", "dtype": "fp32", "query": query} | more
    return RunSpec("pool", method, **given)


def on_disk(folder: str) -> int:
    return sum(p.stat().st_size for p in (config.cache_dir() / folder).rglob("*") if p.is_file())


def everything() -> dict[Path, tuple[int, int]]:
    """Every file and folder of the cache, with size and time."""
    there = config.cache_dir().rglob("*")
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in there if "bench" not in p.parts}


def told(kind: str, said: str) -> None:
    assert kind in timings.TIMES, said


def measuring(found: forecast.Forecast) -> list[Stage]:
    return [s for p in found.parts for s in p.stages if not s.name.startswith("scoring")]


# --- arithmetic --------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 500), min_size=1), st.floats(0, 0.01), st.floats(0, 1))
def test_work_is_the_sum_over_texts(lengths: list[int], attention: float, head: float) -> None:
    heads = [n // 2 for n in lengths]
    slow = sum(t + attention * t * t + head * r for t, r in zip(lengths, heads, strict=True))
    found = Cost(attention, head).of(np.array(lengths), np.array(heads))
    assert found == pytest.approx(slow)


def test_the_cost_of_a_token_is_its_useful_operations_over_those_of_the_body() -> None:
    body, layers, width, vocabulary, t, r = 106_000_000, 30, 576, 49_152, 300, 120
    useful = 2 * body * t + 2 * layers * width * t * t + 2 * width * vocabulary * r
    found = cost(body, layers, width, vocabulary).of(np.array([t]), np.array([r]))
    assert found == pytest.approx(useful / (2 * body))


@pytest.mark.parametrize(("ends", "most"), [(0.0, 40), (0.02, 40), (0.3, 256), (1.0, 5)])
def test_the_mean_answer_is_that_of_many_drawn_ones(ends: float, most: int) -> None:
    chance = np.random.default_rng(3)
    drawn = chance.geometric(ends, 200_000).clip(max=most) if ends else np.full(9, most)
    assert sampled(ends, most) == pytest.approx(drawn.mean(), rel=0.02)


def test_the_longest_of_some_answers_is_that_of_many_drawn_ones() -> None:
    drawn = np.random.default_rng(3).geometric(0.05, (4000, 80)).max(1)
    assert longest(0.05, 10_000, 80) == pytest.approx(drawn.mean(), rel=0.05)
    assert longest(0.05, 30, 80) == 30
    assert longest(0, 30, 80) == 30


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_two_rates_are_found_again_from_two_measurements(a: float, b: float) -> None:
    one, two = (100.0, 10.0, 100 / a + 10 / b), (90.0, 40.0, 90 / a + 40 / b)
    assert two_rates(one, two) == (pytest.approx(a, rel=1e-6), pytest.approx(b, rel=1e-6))


@given(*(st.floats(0.01, 1e4) for _ in range(6)))
def test_rates_from_noisy_measurements_are_never_negative(
    a: float, b: float, t: float, c: float, d: float, u: float
) -> None:
    assert min(two_rates((a, b, t), (c, d, u))) > 0


def test_an_estimate_adds_seconds_and_knows_nothing_where_a_step_knows_nothing() -> None:
    known, unknown = (Stage("a", "tokens", 9, 9, s) for s in (2.5, None))
    assert Estimate([known, known]).seconds == 5
    assert Estimate([known, unknown]).seconds is None


def test_what_passes_needs_room_beside_what_is_kept_so_far() -> None:
    stages = [
        Stage("a", "tokens", 1, 1, 1, kept=10),
        Stage("b", "tokens", 1, 1, 1, kept=5, passing=100),
        Stage("c", "tokens", 1, 1, 1, kept=50),
    ]
    found = Estimate(stages)
    assert (found.kept, found.needed) == (65, 115)
    assert found.fits(121)
    assert not found.fits(115)


def test_nothing_needed_fits_on_a_full_disk() -> None:
    assert Estimate([]).fits(0)


@pytest.mark.parametrize(
    ("n", "said"), [(12, "12 bytes"), (1200, "1.2 kB"), (34e6, "34 MB"), (1.25e9, "1.2 GB")]
)
def test_sizes_are_said_as_people_do(n: float, said: str) -> None:
    assert size(n) == said


@given(st.integers(1, 300), st.integers(1, 50))
def test_ids_are_taken_evenly_and_each_once(n: int, most: int) -> None:
    ids = [f"{k:03}" for k in range(n)]
    found = spread(ids, most)
    assert len(found) == len(set(found)) == min(n, most)
    assert found == sorted(found)
    assert found[0] == ids[0]


# --- what is kept ------------------------------------------------------------------------------


def rates(**more: Any) -> Rates:
    given = {"per_s": {"reading": 10.0}, "ends": 0.5} | more
    return Rates("m", "key", "cpu-fp32", "test", "today", "plain", 1, {}, **given)


def test_kept_rates_come_back_and_join_those_of_other_kinds() -> None:
    checkpoint = Checkpoint("m", "", "", "key")
    assert kept_rates.kept(checkpoint, CPU) is None
    kept_rates.keep(rates(cost=Cost(0.1, 0.2)))
    assert kept_rates.kept(checkpoint, CPU) == rates(cost=Cost(0.1, 0.2))
    kept_rates.keep(rates(per_s={"sampling": 3.0}, ends=0.25))
    kept_rates.keep(rates(per_s={"pooling": 4.0}, ends=0.0))
    found = kept_rates.kept(checkpoint, CPU)
    assert found.per_s == {"reading": 10.0, "sampling": 3.0, "pooling": 4.0}
    assert found.ends == 0.25  # of the answers that were drawn


@pytest.mark.parametrize("content", ["", "{", "[]", '{"form": 0}', '{"form": 1}'])
def test_a_broken_file_of_rates_is_no_rates(content: str) -> None:
    place = kept_rates.path("key", "cpu-fp32")
    place.parent.mkdir(parents=True)
    place.write_text(content)
    assert kept_rates.kept(Checkpoint("m", "", "", "key"), CPU) is None


def test_rates_that_lack_a_kind_of_work_know_no_seconds() -> None:
    assert rates().seconds({"reading": 20.0}) == 2
    assert rates().seconds({"reading": 20.0, "pooling": 1.0}) is None
    assert rates().seconds({"reading": 20.0, "pooling": 0.0}) == 2


# --- plans -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("method", [*METHODS, "gradient_similarity", "loss_trajectory", ""])
def test_a_dry_run_writes_nothing_but_rates(method: str) -> None:
    before = everything()
    found = forecast.forecast(spec(method), told)
    assert found.estimate.seconds is not None
    assert everything() == before
    assert (config.cache_dir() / "bench").is_dir()


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("method", [*METHODS, "gradient_similarity"])
def test_what_is_measured_already_costs_nothing(method: str) -> None:
    before = forecast.forecast(spec(method), told)
    assert before.estimate.kept > 0
    assert all(stage.left == stage.total for stage in measuring(before))
    done = runs.execute(spec(method))
    [part] = forecast.forecast(spec(method)).parts
    assert (part.run, list(part.stages)) == (done.run.run_id, [])
    other = forecast.forecast(spec(method, max_tokens=4095))
    assert all(stage.left for stage in measuring(other))


@pytest.mark.usefixtures("pool")
def test_parts_that_are_there_are_not_counted_again() -> None:
    alone = forecast.forecast(spec("differential_entropy"), told)
    runs.execute(spec("perplexity"))  # the same measurement by the base model
    base, calibrated = measuring(forecast.forecast(spec("differential_entropy")))
    assert (base.left, base.kept, base.seconds) == (0, 0, 0)
    assert [calibrated] == measuring(alone)[1:]
    make("pool", rows(20, 500))  # a pool that grows measures what is new
    [grown] = measuring(forecast.forecast(spec("perplexity")))
    assert 0 < grown.left < grown.total


@pytest.mark.usefixtures("pool")
def test_all_methods_share_what_they_share() -> None:
    alone = [forecast.forecast(spec(m), told) for m in ("perplexity", "differential_entropy")]
    together = forecast.forecast(spec(""), told)
    by_method = {part.method.name: part.stages for part in together.parts}
    assert set(by_method) == {m.name for m in runs.chosen_for_all(spec(""))}
    names = [stage.name for stage in measuring(together)]
    assert names.count("measuring calibrated") == 1
    assert len(by_method["perplexity"]) == 1  # its measurement was planned before
    assert len(measuring(alone[0])) == 1
    runs.execute(spec("perplexity"))
    assert sum(s.left for s in measuring(forecast.forecast(spec("")))) < sum(
        s.left for s in measuring(together)
    )


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("method", [*METHODS, "gradient_similarity", "loss_trajectory"])
def test_bytes_told_are_the_bytes_that_a_run_writes(method: str) -> None:
    found = forecast.forecast(spec(method), told)
    runs.execute(spec(method))
    expected = sum(stage.kept for stage in measuring(found))
    assert expected == pytest.approx(on_disk("blocks"), rel=0.2)


@pytest.mark.usefixtures("pool")
def test_guessing_by_characters_needs_no_tokenizer_and_is_near_to_counting() -> None:
    counted = forecast.forecast(spec("perplexity"), told)
    guessed = forecast.forecast(spec("perplexity"), guess=True)
    [a], [b] = measuring(counted), measuring(guessed)
    assert b.left == pytest.approx(a.left, rel=0.5)
    assert b.kept == pytest.approx(a.kept, rel=0.2)


@pytest.mark.usefixtures("pool")
def test_without_rates_and_without_leave_to_time_seconds_are_unknown() -> None:
    found = forecast.forecast(spec("perplexity"))
    assert found.estimate.seconds is None
    assert found.estimate.kept > 0
    assert any("unknown" in line for line in forecast.lines(found))
    assert not (config.cache_dir() / "bench").exists()


@pytest.mark.usefixtures("pool")
def test_a_long_pool_is_judged_by_some_of_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = forecast.forecast(spec("perplexity"), told)
    monkeypatch.setattr("core.planning.SEEN", 10)
    [few], [all_] = measuring(forecast.forecast(spec("perplexity"))), measuring(whole)
    assert few.left == pytest.approx(all_.left, rel=0.3)
    assert few.seconds == pytest.approx(all_.seconds, rel=0.5)


@pytest.mark.usefixtures("pool")
def test_workers_share_what_is_measured_and_not_what_is_trained(
    small: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hf.BLOCK_TOKENS, "cpu", 400)  # a few blocks of a small pool
    asked = of_model(small, "differential_entropy", **TINY["differential_entropy"])
    forecast.forecast(asked, told)  # from now on there are rates
    alone, both = (forecast.forecast(asked, workers=count) for count in (1, 2))
    assert (alone.estimate.workers, both.estimate.workers) == (1, 2)
    ready = kept_rates.kept(Checkpoint("", "", "", resolve(small.folder).key), CPU).load_s
    for a, b in zip(measuring(alone), measuring(both), strict=True):
        share = 1 if a.name.startswith("warm-up") else 2
        assert b.seconds - ready == pytest.approx((a.seconds - ready) / share)


def test_ids_of_a_damaged_part_are_missing_and_the_part_stays(tmp_path: Path) -> None:
    array = {"x": np.zeros(2)}
    blocks.write_part(tmp_path, ["a" * 20, "b" * 20], array)
    [part] = tmp_path.iterdir()
    assert blocks.ids_on_disk(tmp_path) == {b"a" * 20, b"b" * 20}
    part.write_bytes(part.read_bytes()[:100])
    assert blocks.ids_on_disk(tmp_path) == set()
    assert [p.name for p in tmp_path.iterdir()] == [part.name]


# --- room --------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


@pytest.mark.usefixtures("pool")
def test_a_disk_that_is_too_small_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = forecast.forecast(spec("gradient_similarity")).estimate.needed
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, needed // 2))
        found = forecast.forecast(spec("gradient_similarity"))
        assert any("NOT ENOUGH" in line for line in forecast.lines(found))
        with pytest.raises(ConfigError, match=r"needs about .* are free\. Free some space, or set"):
            runs.execute(spec("gradient_similarity"))
        assert on_disk("blocks") == 0
    runs.execute(spec("gradient_similarity"))
    assert on_disk("blocks") > 0


@pytest.mark.usefixtures("pool")
def test_what_is_measured_is_scored_on_a_nearly_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    runs.execute(spec("perplexity"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 100))
    assert runs.execute(spec("perplexity")).reused
    again = runs.execute(spec("perplexity", params={"order": "low"}))
    assert not again.reused


# --- a real model ------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Checkpoint:
    return tiny.save_model(tmp_path / "small", tiny.byte_bpe(tiny.CHATML), hidden_size=64)


def of_model(small: Checkpoint, method: str, **params: Any) -> RunSpec:
    return spec(method, model=small.folder, params=params)


LORA = {"warm_up_adapter": "lora", "warm_up_rank": 4, "warm_up_epochs": 2}
TINY = {
    "differential_entropy": {"warm_up_epochs": 1},
    "gradient_similarity": {"warm_up_epochs": 2, "checkpoints": 2, "warm_up_rank": 4, "width": 64},
    "answer_divergence": {"k": 3, "max_new_tokens": 12, "layers": "-2", "bins": 3},
    "perplexity": {},
}


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("method", list(TINY))
def test_bytes_of_a_real_model_are_told_before_it_runs(method: str, small: Checkpoint) -> None:
    asked = of_model(small, method, **TINY[method])
    found = forecast.forecast(asked, told)
    assert found.estimate.seconds > 0
    expected = {"blocks": 0, "models": 0}
    for stage in measuring(found):
        expected["models" if stage.name.startswith("warm-up") else "blocks"] += stage.kept
    before = on_disk("models")
    runs.execute(asked)
    assert expected["blocks"] == pytest.approx(on_disk("blocks"), rel=0.2)
    made = [p for p in (config.cache_dir() / "models").rglob("*.safetensors")]
    assert expected["models"] == pytest.approx(sum(p.stat().st_size for p in made), rel=0.2)
    assert on_disk("models") >= before
    [part] = forecast.forecast(asked).parts
    assert part.run


@pytest.mark.usefixtures("pool")
def test_a_warm_up_that_is_made_is_not_planned_again(small: Checkpoint) -> None:
    params = LORA | {"seed": 3}
    asked = of_model(small, "differential_entropy", **params)
    first = measuring(forecast.forecast(asked, told))
    assert [s.name for s in first if s.left] == [
        *("measuring base", "warm-up of calibrated", "measuring calibrated")
    ]
    runs.execute(asked)
    same = of_model(small, "gradient_similarity", **params)
    stages = {s.name: s for s in measuring(forecast.forecast(same, told))}
    assert stages["warm-up of calibrated"].left > 0  # gradients have a rate of their own
    again = of_model(small, "differential_entropy", **params, exclude_warm_up=True)
    assert [s.left for s in measuring(forecast.forecast(again))] == [0, 0, 0]


@pytest.mark.usefixtures("pool")
def test_a_dry_run_with_kept_rates_reads_no_weights(
    small: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = of_model(small, "differential_entropy", **TINY["differential_entropy"])
    forecast.forecast(asked, told)

    def never(*_: Any) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("core.engines.hf.load_model", never)
    monkeypatch.setattr("core.calibration.load_model", never)
    found = forecast.forecast(asked)
    assert found.estimate.seconds > 0
    assert found.estimate.memory > 0


def test_a_model_that_would_have_to_be_fetched_is_one_sentence() -> None:
    make("pool", rows(5))
    with pytest.raises(ModelError, match=r"not on this machine yet.*sftlens doctor --bench"):
        forecast.forecast(spec("perplexity", model="embedded"))
    with pytest.raises(ModelError, match="not on this machine yet"):
        forecast.forecast(spec("perplexity", model="org/name"))


def test_a_text_takes_longer_than_its_parts() -> None:
    by = Cost(attention=0.001)
    assert by.of(np.array([1000])) > 1.5 * by.of(np.array([100] * 10))

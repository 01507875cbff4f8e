"""Token heat: per-token numbers whose means are the run's own, measured once and kept."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from calls import jsonl, rows, sftlens, wait_until

from core import config, heat, pools, runs, store, warm_ups
from core.domain import RunSpec, Sample, Turn
from core.engines import memory
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.token_heat import pieces
from core.errors import RunError
from core.models import Checkpoint, is_here, resolve
from core.store import pools as stored_pools
from core.store import runs as stored_runs

SETTINGS = {"warm_up_epochs": 1, "warm_up_learning_rate": 1e-3, "warm_up_rank": 4}
TEXTS = [
    "Plain words, and a number 42.",
    "  two  spaces\n\nand a tab\t.",
    "你好, שלום, مرحبا 👋👩‍👩‍👧 end",
    "👋",
    "",
]


def scored(tmp_path: Path, method: str = "differential_entropy", **spec: Any) -> stored_runs.Run:
    pools.import_files([jsonl(tmp_path / "toy.jsonl", rows(12))], "toy")
    spec = {"model": "fake", "device": "cpu"} | spec
    return runs.execute(RunSpec("toy", method, **spec)).run


def stored(run: stored_runs.Run) -> tuple[tuple[str, ...], dict[str, Any]]:
    with store.connect() as con:
        ids = stored_pools.get_pool(con, run.pool).sample_ids
        return ids, stored_runs.run_columns(con, run.run_id)


def check_means(run: stored_runs.Run, at: list[int], tolerance: float) -> None:
    ids, columns = stored(run)
    for row in at:
        found = heat.measure(run.pool, ids[row], run.run_id)
        assert list(found) == ["base", "calibrated"]
        for role, x in found.items():
            assert len(x.text) == len(x.nll) == len(x.entropy) == len(x.turn)
            assert len(x.nll) == columns[f"{role}_n_tokens"][row]
            for name in ("nll", "entropy"):
                mean = getattr(x, name).mean()
                assert mean == pytest.approx(columns[f"{role}_{name}"][row], abs=tolerance)


def test_the_means_over_the_tokens_are_the_numbers_of_the_run(tmp_path: Path) -> None:
    check_means(scored(tmp_path), [0, 5, 11], 1e-9)


@pytest.mark.model
@pytest.mark.usefixtures("embedded_cache")
@pytest.mark.parametrize(("dtype", "adapter"), [("fp32", "lora"), ("bf16", "full")])
def test_the_means_of_the_embedded_model_are_the_numbers_of_the_run(
    tmp_path: Path, dtype: str, adapter: str
) -> None:
    params = SETTINGS | {"warm_up_adapter": adapter}
    run = scored(tmp_path, model="embedded", dtype=dtype, params=params)
    # a batch of other lengths changes the order of float sums, in bf16 by more
    check_means(run, [0, 3, 10], {"fp32": 1e-4, "bf16": 0.02}[dtype])


def test_the_second_time_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored(tmp_path)
    sample_id = stored(run)[0][3]
    assert heat.kept(run, sample_id) == {}
    first = heat.measure("toy", sample_id, run.run_id)
    monkeypatch.setattr(heat.loader, "load", lambda *_: pytest.fail("a model was loaded"))
    again = heat.measure("toy", sample_id, run.run_id)
    for role, x in first.items():
        np.testing.assert_array_equal(x.nll, again[role].nll)
        assert x.text == again[role].text


def test_short_of_memory_the_numbers_are_the_same_or_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = scored(tmp_path)
    sample_id = stored(run)[0][3]
    right = heat.measure("toy", sample_id, run.run_id)
    for room, said in (("100", 128), ("0", 1)):
        shutil.rmtree(config.folder("heat"))
        monkeypatch.setenv("SFTLENS_FAKE_ROOM_TOKENS", room)
        if room == "0":
            with pytest.raises(RunError, match="even for one sample at a time"):
                heat.measure("toy", sample_id, run.run_id)
        else:
            found = heat.measure("toy", sample_id, run.run_id)
            for role, x in right.items():
                np.testing.assert_array_equal(x.nll, found[role].nll)
                np.testing.assert_array_equal(x.entropy, found[role].entropy)
        assert f"out of memory; going on with {said} tokens at once" in caplog.text
    assert heat.kept(run, sample_id) == {}


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3", "gpt2"])
def test_a_text_that_does_not_fit_is_read_in_pieces(
    tmp_path: Path, family: str, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save_model(tmp_path / "m", tiny.byte_bpe(tiny.CHATML), family)
    checkpoint = Checkpoint("m", "0", str(tmp_path / "m"), "m")
    room, states, read = 20, HFEngine.states, []

    def full(tokens: Any) -> None:
        if tokens.numel() > room:
            raise MemoryError
        read.append(tokens.numel())

    def short(self: HFEngine, tokens: Any, *rest: Any) -> Any:
        full(tokens)
        return states(self, tokens, *rest)

    for sample in (samples[-6], samples[-2]):  # one response, and two of a conversation
        right = HFEngine(checkpoint, Precision("cpu", "fp32")).token_heat(sample, "chat", 4096)
        with monkeypatch.context() as patch:
            patch.setattr(HFEngine, "states", short)
            engine = HFEngine(checkpoint, Precision("cpu", "fp32"))
            _ = engine.head, engine.stack  # what they ask the model is no text
            engine.model.register_forward_pre_hook(lambda _, args: full(args[0]))
            read.clear()
            ask = partial(engine.token_heat, sample, "chat", 4096)
            found = memory.within(engine, "m", ask)
        assert len(read) > 3
        for name in ("text", "turn"):
            np.testing.assert_array_equal(found[name], right[name])
        for name in ("nll", "entropy"):
            np.testing.assert_allclose(found[name], right[name], rtol=1e-4, atol=1e-5)


def test_two_runs_with_one_base_share_its_numbers(tmp_path: Path) -> None:
    run = scored(tmp_path)
    other = scored(tmp_path, "perplexity")
    sample_id = stored(run)[0][0]
    heat.measure("toy", sample_id, run.run_id)
    assert list(heat.kept(other, sample_id)) == ["base"]
    assert list(heat.roles(other)) == ["base"]


def test_a_launched_measuring_runs_by_itself_and_is_then_there(tmp_path: Path) -> None:
    run = scored(tmp_path)
    sample_id = stored(run)[0][7]
    assert heat.state(run.run_id, sample_id) == ("", "")
    heat.launch("toy", sample_id, run.run_id)
    wait_until(lambda: heat.state(run.run_id, sample_id)[0] != "running")
    assert len(heat.kept(run, sample_id)) == 2, heat.state(run.run_id, sample_id)


def test_the_command_prints_the_means(tmp_path: Path) -> None:
    run = scored(tmp_path)
    ids, columns = stored(run)
    done = sftlens("heat", "toy", ids[2], "--run", run.run_id)
    assert done.returncode == 0, done.stderr
    assert f"NLL {columns['base_nll'][2]:.4f}" in done.stdout


@pytest.mark.parametrize("run_id", ["f" * 20, "nonsense"])
def test_a_run_that_is_not_there_is_one_sentence(tmp_path: Path, run_id: str) -> None:
    run = scored(tmp_path)
    with pytest.raises(RunError, match="not in the store"):
        heat.measure("toy", stored(run)[0][0], run_id)


def test_a_sample_that_is_not_in_the_pool_is_one_sentence(tmp_path: Path) -> None:
    run = scored(tmp_path)
    with pytest.raises(RunError, match="no such sample"):
        heat.measure("toy", "0" * 20, run.run_id)


def test_a_sample_beyond_the_limit_says_so(tmp_path: Path) -> None:
    run = scored(tmp_path, max_tokens=4)
    with pytest.raises(RunError, match="longer than the 4 tokens"):
        heat.measure("toy", stored(run)[0][0], run.run_id)


def test_imported_scores_have_no_model_to_ask(tmp_path: Path) -> None:
    run = replace(scored(tmp_path), card={})
    assert "imported" in heat.lacking(run)


def test_a_model_that_is_not_here_is_not_fetched_but_named(tmp_path: Path) -> None:
    run = scored(tmp_path)
    card = run.card | {"model": "embedded", "base": {"name": "embedded", "key": "k"}}
    assert not is_here("embedded")
    assert "not on this machine" in heat.lacking(replace(run, card=card))
    assert heat.lacking(run) == ""


@pytest.mark.model
@pytest.mark.usefixtures("embedded_cache")
def test_a_checkpoint_that_was_deleted_is_missed_before_anything_starts(tmp_path: Path) -> None:
    params = SETTINGS | {"warm_up_adapter": "lora"}
    run = scored(tmp_path, model="embedded", dtype="fp32", params=params)
    key = run.card["checkpoints"]["calibrated"]["key"]
    found = warm_ups.saved(key, resolve("embedded"))
    assert found is not None
    assert found.key == key
    assert heat.lacking(run) == ""
    for folder in config.folder("models").glob("calibrated-*"):
        shutil.rmtree(folder)
    assert "calibrated checkpoint" in heat.lacking(run)
    with pytest.raises(RunError, match="calibrated checkpoint"):
        heat.measure("toy", stored(run)[0][0], run.run_id)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("tokenizer", [tiny.byte_bpe(), tiny.word_level()])
def test_the_pieces_of_a_response_are_the_response(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = list(pieces(ids, tokenizer))
    assert len(found) == len(ids)
    assert "".join(found) == tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_a_character_of_several_tokens_stands_at_its_last_one() -> None:
    tokenizer = tiny.byte_bpe()
    ids = tokenizer("a👋b", add_special_tokens=False)["input_ids"]
    assert list(pieces(ids, tokenizer)) == ["a", "", "", "", "👋", "b"]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_every_turn_of_a_conversation_has_its_own_tokens(tmp_path: Path, family: str) -> None:
    tiny.save_model(tmp_path / "m", tiny.byte_bpe(tiny.CHATML), family)
    engine = HFEngine(Checkpoint("m", "0", str(tmp_path / "m"), "m"), Precision("cpu", "fp32"))
    turns = (Turn("user", "Hi"), Turn("assistant", "One two"), Turn("user", "And?"))
    sample = Sample((*turns, Turn("assistant", "Three")), "tests")
    x = engine.token_heat(sample, "chat", 4096)
    said = ["".join(x["text"][x["turn"] == k]) for k in (0, 1)]
    assert said == ["One two<|im_end|>", "Three<|im_end|>"]
    whole = engine.token_stats([sample], "chat", 4096)
    assert x["nll"].mean() == pytest.approx(whole["nll"][0], abs=1e-6)
    assert x["entropy"].mean() == pytest.approx(whole["entropy"][0], abs=1e-6)
    assert not len(engine.token_heat(sample, "chat", 5)["nll"])

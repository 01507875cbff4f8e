"""The warm-up: what it draws, that it learns, that it is made once and outlives a kill."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from core import adapters, config, training
from core.calibration import calibrate
from core.domain import Sample, Turn, WarmUp
from core.engines.hardware import Precision
from core.engines.hf import HFEngine
from core.engines.learning import Learner
from core.engines.weights import load_model
from core.errors import ModelError
from core.models import Checkpoint
from core.progress import Progress
from core.templates import encode
from core.warm_ups import Warmed, draw

CPU = Precision("cpu", "fp32")
WARM_UP = WarmUp(fraction=0.4, epochs=3, learning_rate=5e-3, batch_size=4, seed=1, adapter="full")
Run = Callable[..., Warmed]


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return tiny.save_model(tmp_path / "base", tiny.byte_bpe(tiny.CHATML), initializer_range=0.1)


@pytest.fixture
def run(base: Checkpoint, samples: Sequence[Sample]) -> Run:
    """Calibrate on the samples; anything may be changed by name."""
    usual: dict[str, Any] = {
        "base": base,
        "warm_up": WARM_UP,
        "template": "chat",
        "precision": CPU,
        "max_tokens": 4096,
        "progress": Progress(quiet=True),
    }

    def calibrated(pool: Sequence[Sample] = samples, **changes: Any) -> Warmed:
        by_id = {s.sample_id: s for s in pool}
        settings = usual | changes
        return calibrate(ids=list(by_id), fetch=lambda ids: [by_id[i] for i in ids], **settings)

    return calibrated


def weights(made: Warmed | Checkpoint) -> dict[str, torch.Tensor]:
    checkpoint = made.checkpoint if isinstance(made, Warmed) else made
    if checkpoint.adapter:
        return load_file(checkpoint.adapter)
    return load_file(Path(checkpoint.folder) / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def place(made: Warmed) -> Path:
    """The folder that holds what was trained."""
    adapter = made.checkpoint.adapter
    return Path(adapter).parent if adapter else Path(made.checkpoint.folder)


def card(made: Warmed) -> dict[str, Any]:
    return dict(json.loads((place(made) / "checkpoint.json").read_text()))


def forget() -> None:
    """Move the made checkpoints away, so that the next call makes them again."""
    config.folder("models").rename(config.cache_dir() / "models-before")


# the draw


def test_the_draw_is_a_function_of_ids_and_seed_alone() -> None:
    ids = [f"{k:020x}" for k in range(200)]
    mixed = [ids[k] for k in np.random.default_rng(0).permutation(200)]
    assert draw(ids, 0.1, 42) == draw(mixed, 0.1, 42)
    assert draw(ids, 0.1, 42) != draw(ids, 0.1, 43)
    assert draw(ids, 0.2, 42)[:20] == draw(ids, 0.1, 42)


@pytest.mark.parametrize(("n", "fraction", "drawn"), [(200, 0.1, 20), (7, 0.01, 1), (9, 1, 9)])
def test_the_draw_has_the_asked_share_and_one_at_least(n: int, fraction: float, drawn: int) -> None:
    ids = [f"{k:020x}" for k in range(n)]
    found = draw(ids, fraction, 0)
    assert len(found) == len(set(found)) == drawn
    assert set(found) <= set(ids)


# the training


def test_the_loss_falls_and_the_card_says_so(run: Run) -> None:
    made = run(warm_up=replace(WARM_UP, epochs=5))
    losses = card(made)["loss_by_epoch"]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.3
    assert len(made.trained_on) == card(made)["samples"] == 16


def test_training_makes_the_drawn_answers_likelier(
    run: Run, base: Checkpoint, samples: Sequence[Sample]
) -> None:
    made = run()
    drawn = [s for s in samples if s.sample_id in made.trained_on]
    before, after = (
        HFEngine(model, CPU).token_stats(drawn, "chat", 4096)["nll"].mean()
        for model in (base, made.checkpoint)
    )
    assert after < before - 0.3


def test_the_first_step_is_that_of_the_mean_loss_over_response_tokens(
    base: Checkpoint, run: Run, samples: Sequence[Sample]
) -> None:
    one_step = replace(WARM_UP, epochs=1, batch_size=16)
    found = HFEngine(base, CPU).token_stats(
        [s for s in samples if s.sample_id in draw([s.sample_id for s in samples], 0.4, 1)],
        "chat",
        4096,
    )
    mean = np.average(found["nll"], weights=found["n_tokens"])
    [loss] = card(run(warm_up=one_step))["loss_by_epoch"]
    assert loss == pytest.approx(mean, abs=1e-4)


def test_a_step_in_parts_has_the_gradient_of_the_mean_loss(
    base: Checkpoint, samples: Sequence[Sample]
) -> None:
    encoded = encode([*samples, *samples], HFEngine(base, CPU).tokenizer)
    parts, whole = (load_model(base, "cpu", "float32") for _ in range(2))
    with Progress(quiet=True).stage("step", 1, "tokens") as stage:
        total, scored = Learner("tiny", parts, CPU).step(encoded, stage)
    assert stage.done > 2048, "one forward pass holds it all: nothing is added up"
    targets = [torch.from_numpy(e.ids[1:][e.scored[1:]]) for e in encoded]
    logits = [
        whole(torch.from_numpy(e.ids)[None]).logits[0, :-1][torch.from_numpy(e.scored[1:])]
        for e in encoded
    ]
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets))
    loss.backward()
    assert total / scored == pytest.approx(loss.item(), rel=1e-5)
    for mine, right in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, right.grad, rtol=1e-3, atol=1e-5)


def test_the_order_of_the_pool_changes_no_weight(run: Run, samples: Sequence[Sample]) -> None:
    first = weights(run())
    forget()
    assert equal(first, weights(run(samples[::-1])))


def test_a_second_call_trains_nothing(run: Run) -> None:
    first = run()
    file = Path(first.checkpoint.folder) / "model.safetensors"
    before = file.stat().st_mtime_ns
    watched = Progress(quiet=True, path=config.cache_dir() / "status.json")
    assert run(progress=watched) == first
    assert file.stat().st_mtime_ns == before
    assert not watched.path.exists() if watched.path else False


@pytest.mark.parametrize("changes", [{"adapter": "lora"}, {"saves": 3}])
def test_a_checkpoint_that_was_removed_is_made_again(run: Run, changes: dict[str, Any]) -> None:
    made = run(warm_up=replace(WARM_UP, **changes))
    first = [weights(step) for step in made.steps]
    gone = made.steps[1]
    if gone.adapter:
        Path(gone.adapter).unlink()
    else:
        Path(gone.folder).rename(config.cache_dir() / "moved")
    again = run(warm_up=replace(WARM_UP, **changes))
    assert again == made
    assert all(equal(a, weights(step)) for a, step in zip(first, again.steps, strict=True))


def test_whatever_shapes_the_weights_makes_another_checkpoint(
    run: Run, base: Checkpoint, samples: Sequence[Sample]
) -> None:
    one = replace(WARM_UP, epochs=1)
    made = [
        run(warm_up=one),
        run(warm_up=replace(one, seed=2)),
        run(warm_up=replace(one, learning_rate=1e-3)),
        run(warm_up=one, template="alpaca"),
        run(warm_up=one, max_tokens=100),
        run(samples[:-3], warm_up=one),
        run(warm_up=one, base=replace(base, key="another")),
    ]
    assert len({m.checkpoint.key for m in made}) == len(made)
    assert len({m.checkpoint.folder for m in made}) == len(made)


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_a_killed_warm_up_ends_with_the_weights_of_an_undisturbed_one(
    run: Run, base: Checkpoint, adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_dropout(base)
    warm_up = replace(WARM_UP, adapter=adapter, epochs=4)
    undisturbed = run(warm_up=warm_up)
    losses = card(undisturbed)["loss_by_epoch"]
    right = weights(undisturbed)
    forget()
    keep = training._keep
    monkeypatch.setattr(training, "SAVE_EVERY_S", -1.0)

    def keep_and_die(*args: Any) -> None:
        keep(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_keep", keep_and_die)
    for epoch in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            run(warm_up=warm_up)
        [state] = config.folder("models").glob("*.state")
        assert sorted(p.name for p in state.iterdir()) == [
            f"epoch-{epoch}.safetensors",
            "losses.json",
        ]
    made = run(warm_up=warm_up)
    assert card(made)["loss_by_epoch"] == losses
    assert equal(weights(made), right)
    assert list(config.folder("models").iterdir()) == [place(made)]


def _with_dropout(model: Checkpoint) -> None:
    """Let the model's attention drop some of what it sees while it is trained."""
    path = Path(model.folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_dropout": 0.2}))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_adapter_is_measured_merged_and_made_the_same_each_time(
    run: Run, samples: Sequence[Sample], tmp_path: Path, family: str
) -> None:
    base = tiny.save_model(tmp_path / family, tiny.byte_bpe(tiny.CHATML), family)
    warm_up = replace(WARM_UP, adapter="lora", rank=3, alpha=12)
    made = run(base=base, warm_up=warm_up)
    assert card(made)["warm_up"]["adapter"] == "lora"
    losses = card(made)["loss_by_epoch"]
    assert losses[-1] < losses[0]
    first, last = (
        HFEngine(c, CPU).token_stats(samples, "chat", 4096)["nll"] for c in (base, made.checkpoint)
    )
    drawn = [s.sample_id in made.trained_on for s in samples]
    assert last[drawn].mean() < first[drawn].mean() - 0.1
    forget()
    again = run(base=base, warm_up=warm_up)
    before = config.cache_dir() / "models-before" / place(again).name
    for step in again.steps:
        assert equal(load_file(step.adapter), load_file(before / Path(step.adapter).name))


def test_an_adapter_merged_in_float32_is_what_peft_computes(
    run: Run, base: Checkpoint, samples: Sequence[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    ids = torch.arange(5, 30)[None]

    def save(path: Path, model: Any, *rest: Any) -> None:
        with torch.no_grad():
            seen.append(model.eval()(ids).logits)
        model.train()
        adapters_save(path, model, *rest)

    adapters_save = adapters.save
    monkeypatch.setattr(adapters, "save", save)
    made = run(warm_up=replace(WARM_UP, adapter="lora", rank=4, alpha=32))
    assert len(seen) == len(made.steps) == WARM_UP.epochs
    for step, logits in zip(made.steps, seen, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(load_model(step, "cpu", "float32")(ids).logits, logits)


def test_a_whole_model_is_saved_as_often_as_asked_the_last_time_at_the_end(run: Run) -> None:
    end = run()
    several = run(warm_up=replace(WARM_UP, saves=5))
    assert len(several.steps) == len({s.key for s in several.steps}) == 5
    assert equal(weights(several), weights(end))
    assert not equal(weights(several.steps[0]), weights(several.steps[1]))
    assert sum(r > 0 for r in several.rates) == 5
    assert len(run(warm_up=replace(WARM_UP, adapter="lora", saves=5)).steps) == 5
    assert len(run(warm_up=replace(WARM_UP, saves=64)).steps) == 4 * WARM_UP.epochs  # its steps


@pytest.mark.parametrize(("adapter", "saves"), [("full", 1), ("full", 2), ("lora", 1)])
def test_a_checkpoint_whose_weights_were_deleted_is_made_again(
    run: Run, adapter: Any, saves: int
) -> None:
    warm_up = replace(WARM_UP, adapter=adapter, saves=saves)
    made = run(warm_up=warm_up)
    before = [weights(step) for step in made.steps]
    first = made.steps[0]
    (
        Path(first.adapter) if adapter == "lora" else Path(first.folder) / "model.safetensors"
    ).unlink()
    again = run(warm_up=warm_up)
    assert all(equal(a, weights(b)) for a, b in zip(before, again.steps, strict=True))


def test_rates_are_means_of_the_schedule_between_the_checkpoints(run: Run) -> None:
    warm_up = replace(WARM_UP, adapter="lora")
    made = run(warm_up=warm_up)
    rates = [training._rate(step, 12, warm_up) for step in range(12)]
    assert made.rates == pytest.approx([np.mean(rates[k : k + 4]) for k in (0, 4, 8)])


def test_a_small_model_is_tuned_whole_by_default(run: Run) -> None:
    made = run(warm_up=replace(WARM_UP, adapter="auto", epochs=1))
    assert card(made)["warm_up"]["adapter"] == "full"


def test_what_a_light_warm_up_learned_survives_the_rounding_to_bf16(
    run: Run, base: Checkpoint, samples: Sequence[Sample]
) -> None:
    on_grid = {name: w.bfloat16().float() for name, w in weights(base).items()}
    save_file(on_grid, Path(base.folder) / "model.safetensors", metadata={"format": "pt"})
    light = replace(WARM_UP, fraction=1.0, epochs=1, batch_size=16, learning_rate=3e-5)

    def nll(checkpoint: Checkpoint) -> np.ndarray:
        return np.asarray(HFEngine(checkpoint, CPU).token_stats(samples, "chat", 4096)["nll"])

    exact, rounded = (run(warm_up=light, precision=p) for p in (CPU, Precision("cpu", "bf16")))
    assert {w.dtype for w in weights(rounded).values()} == {torch.bfloat16}
    nearest = {name: w.bfloat16().float() for name, w in weights(exact).items()}
    drops = [nll(base) - nll(made.checkpoint) for made in (exact, rounded)]
    save_file(nearest, Path(exact.checkpoint.folder) / "model.safetensors", {"format": "pt"})
    lost = nll(base) - nll(exact.checkpoint)
    assert drops[1].mean() == pytest.approx(drops[0].mean(), rel=0.25)
    assert lost.mean() < 0.5 * drops[0].mean(), "too strong a warm-up to say anything"


def test_rounding_by_chance_keeps_the_mean_and_what_is_on_the_grid() -> None:
    step = 2.0**-7  # of bfloat16 between 1 and 2
    layer = torch.nn.Linear(1000, 200, bias=False)
    for share in (0.0, 0.1, 0.5):
        torch.nn.init.constant_(layer.weight, -1 - share * step)
        found = adapters.rounded(layer, 3).weight.double()
        assert {-1.0, -1 - step} >= set(found.unique().tolist())
        assert found.mean().item() == pytest.approx(-1 - share * step, abs=0.01 * step)
        layer = layer.float()


# what cannot be learned from


def test_a_loss_that_is_not_finite_is_one_sentence_and_no_checkpoint(
    run: Run, base: Checkpoint
) -> None:
    broken = weights(base)
    broken["model.norm.weight"] = torch.full_like(broken["model.norm.weight"], torch.nan)
    save_file(broken, Path(base.folder) / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the loss is not finite") as caught:
        run()
    assert "\n" not in str(caught.value)
    assert list(config.folder("models").glob("calibrated-*")) == []


def test_samples_longer_than_the_model_or_the_limit_are_not_trained_on(
    run: Run, samples: Sequence[Sample], tmp_path: Path
) -> None:
    short = tiny.save_model(
        tmp_path / "short", tiny.byte_bpe(tiny.CHATML), "gpt2", max_position_embeddings=60
    )
    lengths = HFEngine(short, CPU).lengths(samples, "chat")
    everything = replace(WARM_UP, fraction=1.0, epochs=1)
    made = run(base=short, warm_up=everything)
    assert 0 < card(made)["samples"] == (lengths <= 60).sum() < len(samples)
    cut = run(base=short, warm_up=everything, max_tokens=50)
    assert card(cut)["samples"] == (lengths <= 50).sum()


def test_a_warm_up_without_a_token_to_learn_from_is_one_sentence(run: Run) -> None:
    long = [Sample((Turn("user", "Hi"), Turn("assistant", "word " * 900)), "tests")]
    with pytest.raises(ModelError, match="no sample of the warm-up"):
        run(long, max_tokens=100)


def test_the_learning_rate_rises_and_then_falls_towards_zero() -> None:
    rates = [training._rate(step, 100, WARM_UP) for step in range(100)]
    assert rates[:5] == [pytest.approx(WARM_UP.learning_rate * k / 5) for k in range(1, 6)]
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.01 * WARM_UP.learning_rate
    assert training._rate(0, 1, WARM_UP) == WARM_UP.learning_rate

"""What is measured: a corpus of a fixed seed, and a random model where there is no real one."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core import adapters, config, files, speed
from core.domain import Sample, Turn
from core.engines.weights import load_model
from core.models import Checkpoint, QuietTransformers

PROMPT, RESPONSE = (30, 0.6), (60, 0.7)  # median words, and sigma of their logarithm
FEWEST, MOST = 3, 500  # words
VOCABULARY = 4096  # of the small tokenizer
SHARPNESS = 4.0  # of the last norm, so that entropies differ from token to token
Size = Literal["135m", "small"]
SHAPES: dict[str, dict[str, int]] = {
    "135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "small": {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@cache
def texts() -> tuple[str, ...]:
    """The texts of the demo pool: instruction and response of each sample."""
    return tuple(part for s in speed.corpus() for part in (s.instruction, s.response))


def corpus(n: int, seed: int = 0) -> list[Sample]:
    """n conversations whose lengths are lognormal: words of the demo pool, from random places.

    The first samples of a larger corpus are those of a smaller one.
    """
    tape = " ".join(texts()).split()
    tape += tape[: MOST + 1]
    rng = np.random.default_rng(seed)
    draws = rng.lognormal(size=(n, 2), sigma=1.0)
    places = np.random.default_rng([seed, 1]).random((n, 2))
    out = []
    for row in range(n):
        cuts = []
        for (median, sigma), draw, place in zip(
            (PROMPT, RESPONSE), draws[row], places[row], strict=True
        ):
            size = int(np.clip(median * draw**sigma, FEWEST, MOST))
            start = int(place * (len(tape) - MOST - 1))
            cuts.append(" ".join(tape[start : start + size]))
        turns = (Turn("user", f"Case {row:,}. {cuts[0]}"), Turn("assistant", cuts[1]))
        out.append(Sample(turns, "corpus"))
    return out


def random_checkpoint(size: Size = "135m") -> Checkpoint:
    """A random model with a small tokenizer, kept in the cache.

    `135m` has the shape of SmolLM2-135M; `small` is so quick that what surrounds a model shows.
    """
    folder = config.folder("models") / f"random-{size}"
    if not (folder / "done.json").is_file():
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        _make(part, size)
        files.write_json(part / "done.json", {"made": True})
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return Checkpoint(f"random-{size}", "0", str(folder), f"random-{size}")


def with_adapter(base: Checkpoint, rank: int = 8) -> Checkpoint:
    """The checkpoint with a random adapter and random moments, kept beside the others."""
    import torch
    from peft import LoraConfig, get_peft_model

    path = config.folder("models") / f"adapter-{base.key}-{rank}.safetensors"
    if not path.is_file():
        torch.manual_seed(1)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
        model = get_peft_model(load_model(base, "cpu", "float32"), lora)
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
        for weight in optimiser.param_groups[0]["params"]:
            weight.data = 0.02 * torch.randn_like(weight)
            moments = {"exp_avg": torch.randn_like(weight), "exp_avg_sq": torch.rand_like(weight)}
            optimiser.state[weight] = {name: 1e-3 * m for name, m in moments.items()}
        adapters.save(path, model, optimiser, scale=2.0)
    return replace(base, key=f"{base.key}-adapter-{rank}", adapter=str(path))


def _make(folder: Path, size: Size) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        **SHAPES[size],
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=100_000.0,
        initializer_range=0.04,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(shape)
    torch.nn.init.constant_(model.model.norm.weight, SHARPNESS)
    with QuietTransformers():
        model.to(torch.bfloat16).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)


def _tokenizer() -> Any:
    """A byte-level BPE trained on the demo texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts(), trainer)
    out = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        additional_special_tokens=SPECIAL[:1],
    )
    out.chat_template = CHATML
    return out

"""What is measured: a corpus of a fixed seed, and a random model where there is no real one."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core import config, demo, files
from core.domain import Sample, Turn
from core.models import Checkpoint, QuietTransformers
from core.records import Read, read

PROMPT, RESPONSE = (30, 0.6), (60, 0.7)  # median words, and sigma of their logarithm
FEWEST, MOST = 3, 500  # words
VOCABULARY = 4096  # of the small tokenizer
SHARPNESS = 4.0  # of the last norm, so that entropies differ from token to token
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@cache
def texts() -> tuple[str, ...]:
    """The texts of the demo pool: instruction and response of each sample."""
    found = [item.sample for item in read(demo.FOLDER / "pool.jsonl") if isinstance(item, Read)]
    return tuple(part for s in found for part in (s.instruction, s.response))


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


def random_checkpoint() -> Checkpoint:
    """A random model of SmolLM2-135M's shape with a small tokenizer, kept in the cache."""
    folder = config.folder("models") / "random-135m"
    if not (folder / "done.json").is_file():
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        _make(part)
        files.write_json(part / "done.json", {"made": True})
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return Checkpoint("random-135M", "0", str(folder), "random-135m")


def _make(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
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

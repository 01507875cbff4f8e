"""Tiny things to test with: tokenizers, chat templates, random models, an obvious oracle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as vocabularies
from tokenizers.processors import TemplateProcessing

from core.models import Checkpoint

SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "Below is an instruction that describes a task. Write a response that completes it.",
    "### Instruction: ### Response: user assistant system think words that rhyme with sea",
    "It is larger than the other, of course; no. Add and list the words and return them.",
]

_TURN = "'<|im_start|>' + m['role'] + '\n' + {content} + '<|im_end|>\n'"
_LOOP = "{{% for m in messages %}}{{{{ {turn} }}}}{{% endfor %}}{ask}"
_ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


def _template(content: str, ask: str = _ASK) -> str:
    return _LOOP.format(turn=_TURN.format(content=content), ask=ask)


CHATML = _template("m['content']")
WITH_BOS = "{{ bos_token }}" + CHATML
TRIMMING = _template("(m['content'] | trim)")
# As Qwen3: the last answer gets an empty chain of thought, earlier answers lose it.
_LAST_THINKS = (
    "('<think>\n\n</think>\n\n' if loop.last and m['role'] == 'assistant' else '') + m['content']"
)
THINKING = _template(_LAST_THINKS)
# As DeepSeek-R1: the prompt opens a chain of thought that the history does not hold.
OPENS_THOUGHT = _template("m['content']", _ASK.replace("assistant\n", "assistant\n<think>\n"))
FORGETTING = _template("(m['content'] if loop.last or m['role'] != 'assistant' else '...')")
SHOUTING = _template("(m['content'] | upper)")
# As Gemma: no system turn.
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    + CHATML
)
# As a base model's: turns end with a line, not with a special token.
PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


class CharTokenizer:
    """The golden numbers' tokenizer: one character, one token; BOS 1, EOS 3.

    `vocabulary` folds characters into other ids; without it the id is the code point.
    """

    chat_template = None
    bos_token_id, eos_token_id = 1, 3
    all_special_ids = (1, 3)

    def __init__(self, bos: bool = False, vocabulary: dict[str, int] | None = None) -> None:
        self.bos, self.vocabulary = bos, vocabulary

    def __call__(self, text: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(text, list):
            return {"input_ids": [self(t, add_special_tokens)["input_ids"] for t in text]}
        ids = [self.vocabulary[c] if self.vocabulary else ord(c) for c in text]
        return {"input_ids": [self.bos_token_id] * (self.bos and add_special_tokens) + ids}


def byte_bpe(template: str | None = None, bos: bool = False, special: bool = True) -> Any:
    """A byte-level BPE with a few hundred merges. `special`: its marks have names in HF."""
    core = Tokenizer(vocabularies.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    return _wrapped(core, template, bos, special)


def word_level(template: str | None = None, bos: bool = False) -> Any:
    """One word, one token; what it has not seen is <unk>."""
    words = dict.fromkeys(" ".join(CORPUS).split())
    vocabulary = {word: k for k, word in enumerate([*SPECIAL, "<unk>", *words])}
    core = Tokenizer(vocabularies.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return _wrapped(core, template, bos, True)


def _wrapped(core: Tokenizer, template: str | None, bos: bool, special: bool) -> Any:
    from transformers import PreTrainedTokenizerFast

    if bos:
        core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names: dict[str, Any] = {"additional_special_tokens": SPECIAL[3:]} if special else {}
    out = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **names
    )
    out.chat_template = template
    return out


FAMILIES = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "mistral": ("MistralConfig", {"sliding_window": 16}),
    "gemma2": ("Gemma2Config", {"head_dim": 8, "final_logit_softcapping": 10.0}),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
    "smollm3": ("SmolLM3Config", {"no_rope_layer_interval": 2}),
    "phi3": ("Phi3Config", {"sliding_window": 24}),
    "gemma": ("GemmaConfig", {"head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 16, "sliding_window": 16}),
    "gpt2": ("GPT2Config", {}),
}


def save_model(folder: Path, tokenizer: Any, family: str = "llama", **changes: Any) -> Checkpoint:
    """A random model of a family, loud enough that its entropies differ, on disk."""
    import torch
    import transformers

    config_name, own = FAMILIES[family]
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    if family == "gpt2":
        del shape["intermediate_size"], shape["num_key_value_heads"]
    torch.manual_seed(7)
    settings = getattr(transformers, config_name)(**(shape | own | changes))
    transformers.AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Checkpoint(f"tiny-{family}", "0", str(folder), f"tiny-{family}-{folder.name}")


def full_softmax(logits: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """NLL and entropy per row in float64, the obvious way; 0 ln 0 = 0."""
    z = np.asarray(logits, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = z - z.max(1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        p = np.exp(log_p)
        entropy = -np.where(p > 0, p * log_p, 0.0).sum(1)
    return -log_p[np.arange(len(z)), np.asarray(targets)], entropy


def one_at_a_time(model: Any, encoded: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Mean NLL and entropy of each sample, alone, with all logits in memory."""
    import torch

    means = []
    for e in encoded:
        with torch.no_grad():
            logits = model(torch.from_numpy(e.ids)[None]).logits[0].double().numpy()
        at = np.flatnonzero(e.scored)
        nll, entropy = full_softmax(logits[at - 1], e.ids[at])
        means.append((nll.mean(), entropy.mean()))
    return tuple(np.array(means).T)  # type: ignore[return-value]


def save_adapter(base: Checkpoint, path: Path, rank: int = 3, **moments: float) -> tuple[Any, Any]:
    """A random LoRA adapter on every linear layer, with random moments of its optimiser, on disk.

    Returns: the checkpoint with the adapter, and the peft model itself in evaluation mode.
    """
    import warnings
    from dataclasses import replace

    import torch
    from peft import LoraConfig, get_peft_model

    from core import adapters
    from core.engines.weights import load_model

    torch.manual_seed(11)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.3, target_modules="all-linear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(load_model(base, "cpu", "float32"), lora).eval()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for weight in optimiser.param_groups[0]["params"]:
        weight.data = torch.randn_like(weight) * 0.1
        optimiser.state[weight] = {
            "exp_avg": torch.randn_like(weight) * moments.get("exp_avg", 0.01),
            "exp_avg_sq": torch.rand_like(weight) * moments.get("exp_avg_sq", 0.001),
        }
    adapters.save(path, model, optimiser, scale=2.0)
    key = f"{base.key}-{path.stem}"
    return replace(base, name=f"{base.name}+adapter", key=key, adapter=str(path)), model

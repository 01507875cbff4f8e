"""Token ids that are kept: a text is tokenised once for all signals and checkpoints of a process.

Checkpoints of one model have the same tokenizer, so its files' hash and the template are the
key. What is kept is bounded by tokens; the oldest entries leave first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.domain import Sample, content_hash
from core.templates import Encoded, Template, encode

MOST_TOKENS = 16_000_000  # 9 bytes each
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "tokenizer.model")

_kept: OrderedDict[tuple[str, str, str], Encoded] = OrderedDict()
_tokens = 0


def tokenizer_key(folder: str) -> str:
    """The same for every folder with the same tokenizer."""
    there = [Path(folder) / name for name in FILES if (Path(folder) / name).is_file()]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in there]
    return content_hash([[path.name, digest] for path, digest in zip(there, digests, strict=True)])


def encoded(
    samples: Sequence[Sample], tokenizer: Any, key: str, template: Template
) -> list[Encoded]:
    """As `templates.encode`, from what is kept where it is there."""
    global _tokens
    names = [(key, template, s.sample_id) for s in samples]
    fresh = [k for k, name in enumerate(names) if name not in _kept]
    made = dict(zip(fresh, encode([samples[k] for k in fresh], tokenizer, template), strict=True))
    out = [made[k] if k in made else _kept[name] for k, name in enumerate(names)]
    for k, e in made.items():
        if names[k] not in _kept:  # it may be there twice
            _kept[names[k]] = e
            _tokens += len(e)
    while _tokens > MOST_TOKENS:
        _tokens -= len(_kept.popitem(last=False)[1])
    return out


def forget() -> None:
    """Keep no token ids any longer."""
    global _tokens
    _kept.clear()
    _tokens = 0

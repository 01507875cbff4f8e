"""Texts are tokenised once, and what is kept is what the tokenizer says."""

from pathlib import Path

import numpy as np
import pytest
import tiny

from core.domain import Sample
from core.engines import tokens
from core.engines.tokens import encoded, tokenizer_key
from core.templates import encode


class Counting:
    """A tokenizer that counts its texts."""

    def __init__(self) -> None:
        self.texts = 0
        self.inner = tiny.CharTokenizer()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def __call__(self, text: str | list[str], add_special_tokens: bool = True) -> object:
        self.texts += len(text) if isinstance(text, list) else 0
        return self.inner(text, add_special_tokens)


def test_a_text_is_tokenised_once(samples: list[Sample]) -> None:
    counting = Counting()
    first = encoded(samples, counting, "once", "alpaca")
    before = counting.texts
    again = encoded(samples[::-1], counting, "once", "alpaca")[::-1]
    assert counting.texts == before > 0
    for a, b, right in zip(
        first, again, encode(samples, tiny.CharTokenizer(), "alpaca"), strict=True
    ):
        np.testing.assert_array_equal(a.ids, right.ids)
        np.testing.assert_array_equal(b.scored, right.scored)


def test_templates_and_tokenizers_are_kept_apart(samples: list[Sample]) -> None:
    plain = encoded(samples[:3], tiny.CharTokenizer(), "apart", "alpaca")
    other = encoded(samples[:3], tiny.CharTokenizer(), "apart", "instructdiff")
    begun = encoded(samples[:3], tiny.CharTokenizer(bos=True), "apart with bos", "alpaca")
    assert [len(e) + 1 for e in plain] == [len(e) for e in begun]
    assert [e.ids.tolist() for e in plain] != [e.ids.tolist() for e in other]


def test_what_is_kept_is_bounded(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_TOKENS", 500)
    found = encoded([*samples, samples[0]], tiny.CharTokenizer(), "bounded", "alpaca")
    assert len(found) == len(samples) + 1
    assert sum(len(e) for e in tokens._kept.values()) == tokens._tokens <= 500


def test_the_key_is_that_of_the_files(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tiny.byte_bpe(tiny.CHATML if name != "c" else tiny.THINKING).save_pretrained(
            tmp_path / name
        )
    keys = [tokenizer_key(str(tmp_path / name)) for name in ("a", "b", "c")]
    assert keys[0] == keys[1] != keys[2]

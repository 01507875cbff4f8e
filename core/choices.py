"""Multiple-choice records: the options of a question and the letter of the right one."""

import json
import string
from collections.abc import Mapping

from core.columns import Columns, Parts, Rejected, checked, filled, system_turn, text_of
from core.domain import Turn

ANSWERS = ("answer_idx", "answerkey", "answer_index", "answer")


def choice(columns: Columns) -> Parts:
    """Question and lettered options as the user turn, "B. text" as the answer."""
    options = _options(columns)
    letter = _letter(columns, options)
    lines = [f"{key}. {text}" for key, text in options.items()]
    asked = Turn("user", "\n".join([text_of(columns, "question"), *lines]))
    answer = Turn("assistant", f"{letter}. {options[letter]}")
    meta = {"options": json.dumps(options, ensure_ascii=False), "answer_idx": letter}
    return Parts((*system_turn(columns), asked, answer), meta=meta)


def _options(columns: Columns) -> dict[str, str]:
    """Letter -> text, from an object, a list, or two lists {"label", "text"}."""
    name = filled(columns, ("options", "choices"))
    value = columns[name]
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        labels = value.get("label")
        names = list(map(str, labels)) if isinstance(labels, list) else []
        if not len(set(names)) == len(names) == len(value["text"]):
            raise Rejected(f"'{name}' does not have one label per text")
        value = dict(zip(names, value["text"], strict=True))
    elif isinstance(value, list):
        if len(value) > len(string.ascii_uppercase):
            raise Rejected(f"'{name}' has more than 26 options")
        value = dict(zip(string.ascii_uppercase, value, strict=False))
    if not isinstance(value, dict) or not value:
        raise Rejected(f"'{name}' is not a list of texts or an object of letters")
    # Parquet writes the letters of other rows as nulls
    return {k: checked(v, f"option {k!r}") for k, v in value.items() if v is not None}


def _letter(columns: Columns, options: Mapping[str, str]) -> str:
    """The letter of the right option, from a letter, a 0-based index or the option's text."""
    name = filled(columns, ANSWERS)
    text, value = text_of(columns, name), columns[name]
    letters = list(options)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # not letters[value]: -1, which stands for "unknown", would be the last option
        meant = [k for i, k in enumerate(letters) if i == value]
    else:
        meant = [k for k in letters if text == k] + [k for k in letters if text == options[k]]
        meant += [k for k in letters if text.strip().upper() == k.upper()]
    if not meant:
        raise Rejected(f"answer {text[:40]!r} is none of the options {', '.join(letters)[:80]}")
    return meant[0]

"""What one text says otherwise than another, word by word."""

import re
from difflib import SequenceMatcher

WORDS = re.compile(r"\s+|\w+|[^\w\s]")
COMPARED = 800  # words and marks of each text; what follows is shown unmarked

Piece = tuple[str, bool]  # some text, and whether the other one does not have it there


def differences(reference: str, text: str) -> tuple[list[Piece], bool]:
    """Cut `text` into pieces, alternately as in `reference` and otherwise; they join up to it.

    Blanks alone are no difference; those between two differences belong to them. Returns the
    pieces, and whether the text was compared to its end: the time grows with the square of the
    length, so only the first `COMPARED` words count.
    """
    ours, theirs = WORDS.findall(text), WORDS.findall(reference)
    whole = len(ours) <= COMPARED
    matcher = SequenceMatcher(None, _folded(theirs), _folded(ours), autojunk=False)
    pieces: list[Piece] = []
    for tag, _, _, start, end in matcher.get_opcodes():
        said = "".join(ours[start:end])
        other = tag != "equal" and not said.isspace()
        if other and len(pieces) > 1 and pieces[-1][0].isspace():
            said = pieces.pop()[0] + said  # the piece before it is a difference, too
        if said:
            _append(pieces, said, other)
    if not whole:
        _append(pieces, "".join(ours[COMPARED:]), False)
    return pieces, whole


def _folded(words: list[str]) -> list[str]:
    """What is compared: all blanks are alike."""
    return [" " if word.isspace() else word for word in words[:COMPARED]]


def _append(pieces: list[Piece], text: str, other: bool) -> None:
    if pieces and pieces[-1][1] == other:
        text = pieces.pop()[0] + text
    pieces.append((text, other))

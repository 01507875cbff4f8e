"""A sample's text as markdown that cannot act: nothing is fetched, linked, styled or computed.

Emphasis, lists, tables and code stay. What could act is broken by an invisible word joiner after
the character that begins it: links, images, HTML, entities, directives (`:red[…]`,
`:material/…:`), emoji codes, bare addresses. A dollar sign and such a colon are escaped as well,
so that no formula begins and no directive swallows its words.
Code blocks are cut out and shown by `st.code`, which never interprets.
"""

import re
import shlex
import unicodedata
from typing import NamedTuple

JOINER = "\u2060"
ISOLATE_RTL, END_ISOLATE = "\u2067", "\u2069"
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([A-Za-z0-9+#-]*)[^`]*")
HEADING = re.compile(r"^([ >]*)#{1,6}(?=[ \t])", re.MULTILINE)
UNDERLINE = re.compile(r"(?<=\S)\n(?=[ \t]*(?:=+|-+)[ \t]*$)", re.MULTILINE)
MARKER = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)]|#{1,6})[ \t]+)?")
BEGINNINGS = re.compile(
    r"[<&@]"  # HTML, <address>, entities, mail
    r"|:(?!\s|--|\||$)"  # directives, emoji codes, https:; not the alignment of a table
    r"|\](?=[(\[:])"  # links, images, definitions
    r"|www"
    r"|(?<=[`~])(?=[`~])(?<=(?:``|~~)(?=[`~]))"  # fences inside quotes and lists
    r"|(?<=\s)[->~](?=[>=-]\s)",  # what would become an arrow or a dash
    re.IGNORECASE,
)
FORMATTING = re.compile(r"[\\`*_\[\]<>#~$|:]")
SPAN_OR_SIGN = re.compile(r"((?<!`)(`+)[^`\n]+\2(?!`))|(?<!\\)(?:\$|:(?=\u2060))")


class Piece(NamedTuple):
    """A part of a text: prose, or a code block with the language that it names."""

    text: str
    code: bool
    language: str | None = None


def pieces(text: str) -> list[Piece]:
    """The text cut into prose and code blocks; the fences themselves are not in any."""
    found: list[Piece] = []
    held: list[str] = []
    fence, language = "", ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        mark = FENCE.fullmatch(line)
        if not fence and mark:
            _close(found, held, None)
            fence, language = mark[1], mark[2]
        elif fence and mark and not mark[2] and mark[1].startswith(fence):
            _close(found, held, language)
            fence = ""
        else:
            held.append(line)
    _close(found, held, language if fence else None)
    return found


def _close(found: list[Piece], held: list[str], language: str | None) -> None:
    """Add the lines that were held as a piece: prose for a language of None."""
    text = "\n".join(held)
    held.clear()
    if language is not None:
        found.append(Piece(text, True, language.lower() or None))
    elif text.strip():
        found.append(Piece(text.strip("\n"), False))


def harmless(prose: str) -> str:
    """Prose as markdown for `st.markdown` in which nothing acts; line breaks stay."""
    text = BEGINNINGS.sub(lambda m: m[0] + JOINER, prose)
    text = SPAN_OR_SIGN.sub(lambda m: m[1] or f"\\{m[0]}", text)  # not inside inline code
    text = HEADING.sub(r"\1#####", UNDERLINE.sub("\n\n", text))
    return "\n".join(_directed(line) + "  " if line.strip() else "" for line in text.split("\n"))


def label(text: str) -> str:
    """One line of a person's or a sample's words inside a markdown text: nothing is styled."""
    line = " ".join(text.split())
    return BEGINNINGS.sub(lambda m: m[0] + JOINER, FORMATTING.sub(r"\\\g<0>", line))


def sentence(text: object) -> str:
    """An error's line as markdown in which nothing acts: it repeats what a file or link said."""
    return harmless(str(text)).rstrip()


def command(*words: str) -> str:
    """A command line that a shell reads as these words, whatever a pool is called."""
    return shlex.join(words)


def code(text: str) -> str:
    """A text as inline code, whatever backticks it has."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"


def clipped(text: str, letters: int) -> str:
    """A text, or its beginning and an ellipsis: at most so many letters."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def right_to_left(text: str) -> bool:
    """Whether the first letter with a direction runs from right to left, as `dir=auto` asks."""
    kinds = map(unicodedata.bidirectional, text[:2000])
    return next((kind in ("R", "AL") for kind in kinds if kind in ("L", "R", "AL")), False)


def _directed(line: str) -> str:
    """A line that runs from right to left, so that its punctuation stands at the right end."""
    if "|" in line or not right_to_left(line):
        return line
    start = MARKER.match(line)
    cut = start.end() if start else 0
    return f"{line[:cut]}{ISOLATE_RTL}{line[cut:]}{END_ISOLATE}"

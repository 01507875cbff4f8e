"""A conversation as people read it. What a sample says must not act on the page."""

from collections.abc import Sequence

import streamlit as st

from core.domain import Turn
from pages.ui.prose import harmless, pieces, right_to_left

FOLD_CHARS = 1500  # a longer turn shows its beginning, and the rest on demand
MOST_CHARS = 60_000  # of a turn that are drawn as markdown; plain text beyond
ICONS = {
    "user": ":material/person:",
    "assistant": ":material/smart_toy:",
    "system": ":material/settings:",
}
LANGUAGE = {"py": "python", "js": "javascript", "sh": "bash", "ts": "typescript", "mermaid": None}


def conversation(turns: Sequence[Turn], *, rendered: bool) -> None:
    """All turns, long ones folded; `rendered` draws their markdown, else the characters as such."""
    for turn in turns:
        with st.chat_message(turn.role, avatar=ICONS[turn.role]):
            draw = _rendered if rendered and len(turn.content) <= MOST_CHARS else _plain
            if len(turn.content) <= FOLD_CHARS:
                draw(turn.content)
                continue
            draw(_beginning(turn.content) + " …")
            with st.expander(f"All {len(turn.content):,} characters"):
                draw(turn.content)


def _beginning(text: str) -> str:
    """The first characters, cut at the end of a line or word, where there is one."""
    head = text[:FOLD_CHARS]
    cut = max(head.rfind("\n"), head.rfind(" "))
    return head[:cut] if cut > FOLD_CHARS // 2 else head


def _plain(text: str) -> None:
    st.text(text, text_alignment="right" if right_to_left(text) else "left", width="stretch")


def _rendered(text: str) -> None:
    if not text.strip():
        st.caption("(empty)")
    for piece in pieces(text):
        if piece.code:
            language = LANGUAGE.get(piece.language or "", piece.language)
            st.code(piece.text, language=language, wrap_lines=True)
        else:
            side = right_to_left(piece.text)
            st.markdown(
                harmless(piece.text), anchors=False, text_alignment="right" if side else "left"
            )

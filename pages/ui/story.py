"""The Story's frame: a snapshot that nothing changes, five steps, and the way between them."""

from collections.abc import Mapping

import streamlit as st

from core.errors import SFTLensError
from core.links import pack, unpack
from core.methods import catalogue
from core.recipe import Recipe
from core.selection import Selection
from pages.ui import data, rights
from pages.ui.frame import ICON
from pages.ui.navigation import shown_first
from pages.ui.prose import sentence
from pages.ui.state import state

LAST = 5
# A story is read from afar, and Streamlit has no larger type for one page alone.
BIG = """<style>
.st-key-story h1 { font-size: clamp(2rem, 7vw, 3.1rem); line-height: 1.12; }
.st-key-story h3 { font-size: clamp(1.15rem, 3.6vw, 1.5rem); line-height: 1.35; }
.st-key-story [data-testid="stMarkdown"] p { font-size: clamp(1.05rem, 2.6vw, 1.2rem); }
.st-key-story [data-testid="stCaptionContainer"] p { font-size: 0.9rem; }
</style>"""


def open_story() -> None:
    """Draw nothing but the story: no navigation, no recipe bar, narrow enough to read aloud."""
    st.set_page_config(
        page_title="Story · SFTLens",
        page_icon=str(ICON),
        layout="centered",
        initial_sidebar_state="collapsed",
    )
    rights.gate()
    st.html(BIG)


def story_link(recipe: Recipe, step: int = 1) -> tuple[str, Mapping[str, str]]:
    """Script and query of the story of a recipe, for `st.page_link(script, query_params=...)`."""
    return "pages/story.py", {"recipe": pack(recipe), "step": str(step)}


def snapshot() -> Selection:
    """The selection of the link's recipe; a link without one takes the session's, once for all."""
    text = st.query_params.get("recipe", "")
    try:
        recipe = unpack(text) if text else _now()
    except SFTLensError as error:
        st.error(sentence(error), icon=":material/link_off:")
        st.stop()
    if recipe is None:
        with st.container(border=True):
            st.subheader("There is no story to tell yet", anchor=False)
            st.write("It begins with a pool of samples that is scored.")
            st.page_link("app.py", label="Open SFTLens", icon=":material/home:")
        st.stop()
    if not text:
        st.query_params["recipe"] = pack(recipe)
    return data.select(recipe)


def _now() -> Recipe | None:
    """The session's recipe, else the one that the other pages begin with, else None."""
    if (mine := state().recipe) is not None:
        return mine
    runs = data.scored()
    runs = runs[runs["current"]] if len(runs) else runs
    if runs.empty:
        return None
    runs = runs[runs["pool"] == runs["pool"].iloc[0]]
    run_id = shown_first(runs)
    row = runs[runs["run_id"] == run_id].iloc[0]
    pool, method, card = str(row["pool"]), str(row["method"]), catalogue().get(str(row["method"]))
    return Recipe(pool=pool, method=method, run_id=run_id, policy=card.policy if card else "top")


def offer(selection: Selection) -> None:
    """A way from another page to the same in five steps, for somebody who has a minute."""
    script, query = story_link(selection.recipe)
    st.page_link(
        script, label="Show as a story", icon=":material/slideshow:", query_params=dict(query)
    )


def step() -> int:
    """Where the link stands, 1 to 5."""
    text = st.query_params.get("step", "1")
    return min(max(int(text), 1), LAST) if text.isdecimal() and len(text) < 4 else 1


def turn(at: int) -> None:
    """Back and next, by click or by arrow key."""
    st.space("small")
    with st.container(horizontal=True, vertical_alignment="center", key="story_turn"):
        st.button(
            "Back",
            key="story_back",
            icon=":material/arrow_back:",
            shortcut="Left",
            disabled=at == 1,
            on_click=_go,
            args=(at - 1,),
        )
        st.caption(f"{at} of {LAST}", width="content")
        st.space("stretch")
        if at < LAST:
            st.button(
                "Next",
                key="story_next",
                icon=":material/arrow_forward:",
                icon_position="right",
                type="primary",
                shortcut="Right",
                on_click=_go,
                args=(at + 1,),
            )
        else:
            _leave()


def _leave() -> None:
    """Into the app: with this recipe, unless the session has one of its own."""
    own = {} if state().recipe else {"recipe": st.query_params.get("recipe", "")}
    st.page_link("app.py", label="Open SFTLens", icon=":material/home:", query_params=own)


def _go(to: int) -> None:
    st.query_params["step"] = str(to)

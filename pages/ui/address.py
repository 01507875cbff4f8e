"""The address of the page says all of its state: the recipe, and the opened sample."""

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from core.errors import BudgetError, SFTLensError
from core.links import pack, unpack
from pages.ui import data
from pages.ui.prose import sentence
from pages.ui.state import state

WRITTEN = "address_written"  # what this session wrote; a browser may send it back late


def take() -> None:
    """Open what the address says, when somebody else wrote it."""
    here, given = state(), st.query_params
    written: set[str] = st.session_state.setdefault(WRITTEN, set())
    sample, text = given.get("sample"), given.get("recipe")
    if text and text not in written:
        written.add(text)
        try:
            recipe = unpack(text)
            if recipe.run_id not in data.scored(recipe.pool)["run_id"].tolist():
                do = "Score it again, or ask for a new link."
                raise BudgetError("link", "its scores are not in this store", do=do)
            if refusal := data.refusal(recipe):
                st.session_state["address_refused"] = f"link: {refusal}"
            else:
                here.begin(recipe)
        except SFTLensError as error:
            st.session_state["address_refused"] = str(error)
    if sample and sample not in written:
        written.add(sample)
        here.open(sample)


def refused() -> None:
    """Say once why a link could not be followed."""
    if text := st.session_state.pop("address_refused", ""):
        st.warning(sentence(text), icon=":material/link_off:")


def write() -> None:
    """Let the address say the state of the session."""
    here, written = state(), st.session_state.setdefault(WRITTEN, set())
    said = {"recipe": pack(here.recipe) if here.recipe else "", "sample": here.sample or ""}
    for name, text in said.items():
        written.add(text)
        if text and st.query_params.get(name) != text:
            st.query_params[name] = text
        elif not text and name in st.query_params:
            del st.query_params[name]


def link(path: str | None = None, **more: str) -> str:
    """The whole link to a page (this one by default) with this session's state."""
    here = state()
    said = {"recipe": pack(here.recipe) if here.recipe else "", "sample": here.sample or ""}
    parts = urlsplit(st.context.url or "http://127.0.0.1:8501/")
    query = urlencode({k: v for k, v in (said | more).items() if v})
    return urlunsplit((parts.scheme, parts.netloc, parts.path if path is None else path, query, ""))

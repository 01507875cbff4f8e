"""Near-duplicates, quotas and pins on the Recipe page."""

import streamlit as st

from core.maps import FLOORS
from core.recipe import Distinct
from core.selection import Selection
from core.store.maps import By
from pages.ui import data
from pages.ui.glossary import term
from pages.ui.prose import command
from pages.ui.state import show, state

MOST_PINS = 40  # by hand means by hand
BY: dict[By, str] = {
    "cosine": "meaning (cosine of embeddings)",
    "minhash": "wording (shared word triples)",
}
DEFAULT = 0.95


def duplicates(selection: Selection) -> None:
    """Keep one of each group of near-duplicates, or all of them."""
    pool, now = selection.run.pool, selection.recipe.distinct
    found = data.newest_map(pool)
    if found is None:
        st.info("Near-duplicates are found while a map is made.", icon=":material/info:")
        st.code(command("sftlens", "map", pool), language="bash")
        return
    map_id = found.map_id if now is None else now.map_id

    def change() -> None:
        here = state()
        if not st.session_state["recipe_distinct"]:
            here.change(distinct=None)
            return
        by = st.session_state.get("recipe_distinct_by", "cosine")
        least = st.session_state.get("recipe_distinct_threshold", DEFAULT)
        here.change(distinct=Distinct(map_id=map_id, by=by, threshold=max(FLOORS[by], least)))

    show("recipe_distinct", now is not None)
    st.toggle(
        "Keep one of each group", key="recipe_distinct", on_change=change, help=term("distinct")
    )
    if now is None:
        return
    show("recipe_distinct_by", now.by)
    st.selectbox(
        "Alike in",
        list(BY),
        key="recipe_distinct_by",
        format_func=lambda by: BY[by],
        on_change=change,
    )
    show("recipe_distinct_threshold", now.threshold)
    st.slider(
        "From this similarity on",
        FLOORS[now.by],
        1.0,
        step=0.01,
        key="recipe_distinct_threshold",
        on_change=change,
    )
    n = dict(selection.subset.steps()).get(f"rule: {now}", 0)
    few = " In a pool of this size a few such pairs are missed." if found.rough else ""
    st.caption(f"{n:,} samples repeat one that ranks higher.{few}")


def quotas(selection: Selection) -> None:
    """At most so many samples of a source."""
    recipe, names = selection.recipe, list(selection.sources)
    with st.form("recipe_quota", border=False):
        which, most = st.columns([3, 2])
        name = which.selectbox("Source", names, key="recipe_quota_source", help=term("quota"))
        amount = most.number_input("At most", 0, 10**9, 10, 1, key="recipe_quota_most")
        if st.form_submit_button("Set the quota", icon=":material/pie_chart:") and name:
            state().change(quotas={**recipe.quotas, name: int(amount)})
            st.rerun()
    steps = dict(selection.subset.steps())
    for name, most_now in recipe.quotas.items():
        removed = steps.get(f"quota: {most_now:,} of {name}", 0)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"{name}: at most {most_now:,}, removes {removed:,}", width="stretch")
            _remove(f"recipe_quota_{name}", "Remove this quota", _without_quota, name)


def _without_quota(name: str) -> None:
    recipe = state().recipe
    if recipe is not None:
        state().change(quotas={k: v for k, v in recipe.quotas.items() if k != name})


def pins(selection: Selection) -> None:
    """What is kept or dropped by hand, newest first, each with the way back."""
    found = [(pin, selection.ids.find(pin.sample_id)) for pin in reversed(selection.recipe.pins)]
    if not found:
        st.caption("Nothing yet. The Reader has the buttons “Keep by hand” and “Drop by hand”.")
        return
    shown = [(pin, row) for pin, row in found if row is not None][:MOST_PINS]
    frame = data.previews(selection.run.pool, [row for _, row in shown])
    for (pin, _), text in zip(shown, frame["preview"].tolist(), strict=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("kept" if pin.keep else "dropped", color="primary" if pin.keep else "gray")
            st.text(" ".join(text.split())[:80], width="stretch")
            _remove(f"recipe_pin_{pin.sample_id}", "Leave it to the recipe", _unpin, pin.sample_id)
    if len(found) > len(shown):
        st.caption(f"{len(shown):,} of {len(found):,} are listed; the bar takes all of them back.")


def _unpin(sample_id: str) -> None:
    state().pin(sample_id, None)


def _remove(key: str, hint: str, act: object, *args: object) -> None:
    st.button(
        "",
        key=key,
        icon=":material/close:",
        type="tertiary",
        help=hint,
        on_click=act,  # type: ignore[arg-type]
        args=args,
    )

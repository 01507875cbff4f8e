"""Export: the subset in a trainer's format, with the manifest that makes it again."""

import streamlit as st

from pages.ui import export_form, push_form, story
from pages.ui.frame import need_selection, open_page

open_page("Export")
selection = need_selection()

export_form.counts(selection)
left, right = st.columns([5, 7], gap="large")
with left:
    layout = export_form.layout()
    made = export_form.make(selection, layout)
with right:
    export_form.preview(selection, layout)

if made:
    export_form.files(*made)
left, right = st.columns([7, 5], gap="large")
with left:
    export_form.again(selection, layout)
with right:
    push_form.push(made[0] if made else None)
    story.offer(selection)

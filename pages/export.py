"""Export: the subset in a trainer's format, with the manifest that makes it again."""

import streamlit as st

from pages.ui import export_form
from pages.ui.frame import need_selection, open_page

open_page("Export")
selection = need_selection()

left, right = st.columns([2, 3], gap="large")
with left:
    layout = export_form.layout()
    export_form.make(selection, layout)
with right:
    export_form.preview(selection, layout)

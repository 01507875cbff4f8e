"""Reader: is it right, and why is it in?"""

import streamlit as st

from pages.ui import reader, reader_more, verdict_bar
from pages.ui.frame import need_selection, open_page

open_page("Reader")
selection = need_selection()

rows = reader.queue(selection)
row = reader.steps(selection, rows)
if row is None:
    st.stop()
pool, sample_id = selection.run.pool, selection.ids[row]

left, right = st.columns([3, 2], gap="large")
with left:
    reader.card(selection, row)
with right:
    verdict_bar.verdict_bar(pool, sample_id, "reader", queue=reader.audit_queue())
    verdict_bar.said(pool, sample_id)
    reader.fate(selection, row)
left, right = st.columns([3, 2], gap="large")
with left:
    reader_more.heat(selection, row)
    reader_more.neighbours(selection, row)
with right:
    reader_more.standings(selection, row)
    verdict_bar.reviewer_line("reader")

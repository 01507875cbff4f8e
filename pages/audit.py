"""Audit: how good is the subset, and how sure is that?"""

import streamlit as st

from pages.ui import audit, audit_findings, data_audit, verdict_bar
from pages.ui.charts.audit import intervals
from pages.ui.frame import need_selection, open_page
from pages.ui.glossary import term
from pages.ui.panels import chart, palette

open_page("Audit")
selection = need_selection()

wanted, seed = audit.settings()
queue = data_audit.queue(selection, wanted, seed)
if not len(queue.rows):
    st.info("Nothing is asked for. Ask for some samples above.", icon=":material/info:")
    st.stop()
audit.judge(selection, queue, data_audit.name(selection, wanted, seed))

st.divider()
left, right = st.columns([3, 2], gap="large")
found = audit_findings.estimates(selection, queue)
with left:
    st.subheader("What the verdicts say", anchor=False)
    audit_findings.findings(found)
    chart(
        "Good samples among kept and dropped",
        lambda: intervals(list(found), list(found.values()), palette()),
        "audit_intervals",
        empty="Judge a few samples of the queue, and the share of good ones stands here.",
        about=term("interval"),
    )
with right:
    st.subheader("Other strata", anchor=False)
    audit_findings.chosen_strata(selection, queue)
    st.subheader("Agreement", anchor=False, help=term("kappa"))
    audit_findings.agreement(selection.run.pool)
    audit_findings.download(selection, queue)
    verdict_bar.reviewer_line("audit")

"""Runs: pools, finished runs, and scoring in the background."""

import streamlit as st

from pages.ui import runs_form
from pages.ui.frame import open_page

open_page("Runs")

runs_form.running()
st.subheader("Finished runs", anchor=False)
runs_form.finished()
st.subheader("Pools", anchor=False)
runs_form.pools()
st.subheader("Score a pool", anchor=False)
runs_form.start()

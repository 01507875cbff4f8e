"""Trajectories: loss curves by cluster, what is kept of each, one sample among its own."""

import streamlit as st

from pages.ui import cards, cluster_panels, clusters, ranking
from pages.ui.frame import need_method, need_selection, open_page

open_page("Trajectories")
shown = need_method(need_selection(), "loss_trajectory")
ranking.offer(shown, "trajectories")
curves = clusters.need_curves(shown)

clusters.sentence(curves)
clusters.shape_numbers(curves, shown.subset.mask)
cluster_panels.choose(shown, curves)
cluster_panels.ribbons(shown, curves)

cluster_panels.filling(shown, curves)

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(shown, "trajectories")
with right:
    cluster_panels.one_sample(shown, curves)
    cards.sample_card(shown)

"""Trajectories: what is learned early, late, or never?"""

from pages.ui.frame import need_selection, open_page

open_page("Trajectories")
selection = need_selection()

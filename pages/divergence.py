"""Divergence: where do repeated answers disagree, and how?"""

from pages.ui.frame import need_selection, open_page

open_page("Divergence")
selection = need_selection()

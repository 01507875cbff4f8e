"""Audit: how good is the subset, and how sure is that?"""

from pages.ui.frame import need_selection, open_page

open_page("Audit")
selection = need_selection()

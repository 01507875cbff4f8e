"""Complexity: what is hard, and does entropy know it?"""

from pages.ui.frame import need_selection, open_page

open_page("Complexity")
selection = need_selection()

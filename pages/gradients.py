"""Gradient map: which samples push toward my target, and which targets are served by none?"""

from pages.ui.frame import need_selection, open_page

open_page("Gradient map")
selection = need_selection()

"""Compare: a, B or random: what differs?"""

from pages.ui.frame import need_selection, open_page

open_page("Compare")
selection = need_selection()

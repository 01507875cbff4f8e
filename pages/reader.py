"""Reader: is it right, and why is it in?"""

from pages.ui.frame import need_selection, open_page

open_page("Reader")
selection = need_selection()

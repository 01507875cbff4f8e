"""The app's server, with everything imported that a first page needs.

    python -m pages.ui.serve run app.py

Streamlit imports a page's modules when the first person opens it, who then waits for them.
"""

import sys
from importlib import import_module
from pkgutil import iter_modules

from pages import ui
from pages.ui import charts

HEAVY = ("plotly.graph_objects", "scipy.stats")


def main() -> None:
    """Import, then serve as `streamlit` would."""
    from streamlit.web.cli import main as streamlit

    from core import methods, policies

    for package in (ui, charts):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for name in HEAVY:
        import_module(name)
    methods.catalogue()
    policies.catalogue()
    sys.exit(streamlit(prog_name="streamlit"))


if __name__ == "__main__":
    main()

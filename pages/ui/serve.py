"""The app's server, with everything imported that a first page needs.

    python -m pages.ui.serve run app.py

Streamlit imports a page's modules when the first person opens it, who then waits for them.
"""

import sys
from importlib import import_module

NEEDED = ("plotly.graph_objects", "pages.ui.map_panel", "pages.ui.overview", "pages.ui.thresholds")


def main() -> None:
    """Import, then serve as `streamlit` would."""
    from streamlit.web.cli import main as streamlit

    for name in NEEDED:
        import_module(name)
    sys.exit(streamlit(prog_name="streamlit"))


if __name__ == "__main__":
    main()

"""Names on a chart: Plotly would read markup in them."""

from html import escape


def label(text: str, letters: int = 34) -> str:
    """One line of at most `letters`, shown as it is written."""
    line = " ".join(text.split())
    return escape(line if len(line) <= letters else line[: letters - 1] + "…", quote=False)

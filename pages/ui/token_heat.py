"""Response tokens shaded by their entropy or NLL; a small component that draws text as text."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from core.heat import Heat
from pages.ui.panels import palette

BROWSER = Path(__file__).with_name("browser")
_component = st.components.v2.component(
    "sftlens_token_heat",
    html='<div class="heat"></div>',
    css=(BROWSER / "heat.css").read_text("utf8"),
    js=(BROWSER / "heat.js").read_text("utf8"),
)


def token_heat(found: Mapping[str, Heat], key: str) -> None:
    """Draw the tokens under one or two checkpoints; `found` has base, and calibrated if any."""
    base, colours = found["base"], palette()
    _component(
        key=key,
        data={
            "text": list(base.text),
            "turn": base.turn.tolist(),
            "values": {
                role: {"entropy": x.entropy.tolist(), "nll": x.nll.tolist()}
                for role, x in found.items()
            },
            "names": {
                "entropy": "entropy",
                "nll": "NLL",
                "base": "base",
                "calibrated": "calibrated",
                "difference": "base − calibrated",
            },
            "colours": {
                "sequence": list(colours.sequence),
                "diverging": list(colours.diverging),
            },
        },
    )

"""Response tokens shaded by their entropy or NLL; a small component that draws text as text."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from core.heat import Heat
from pages.ui.panels import palette

CSS = """
.heat { font: 0.95rem/1.9 var(--st-font); color: var(--st-text-color); }
.head { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; }
.switch { display: inline-flex; border: 1px solid var(--st-border-color); border-radius: 0.5rem;
  overflow: hidden; }
.switch button { font: inherit; line-height: 1.4; font-size: 0.85rem; padding: 0.25rem 0.7rem;
  border: 0; color: inherit; background: transparent; cursor: pointer; }
.switch button[aria-checked=true] { background: var(--st-primary-color); color: #FFFFFF; }
.switch button:focus-visible, .token:focus-visible { outline: 2px solid var(--st-primary-color);
  outline-offset: 1px; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem; font-size: 0.8rem;
  font-variant-numeric: tabular-nums; }
.bar { width: 7rem; height: 0.7rem; border-radius: 0.2rem; }
.what { opacity: 0.75; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.7rem 0 0.4rem; max-height: 26rem;
  overflow-y: auto; padding: 2px; }
.token { border-radius: 0.2rem; padding: 0.12em 0; margin-right: 1px; cursor: default; }
.told { font-size: 0.85rem; line-height: 1.5; min-height: 1.5em; opacity: 0.85;
  font-variant-numeric: tabular-nums; }
hr { border: 0; border-top: 1px dashed var(--st-border-color); margin: 0.6rem 0; }
"""
_component = st.components.v2.component(
    "sftlens_token_heat",
    html='<div class="heat"></div>',
    css=CSS,
    js=Path(__file__).with_suffix(".js").read_text("utf8"),
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

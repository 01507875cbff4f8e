"""The random draw that stands beside a subset: as many samples, of the same lengths."""

import numpy as np
import streamlit as st

from core.domain import MaskN
from core.matched import generator
from core.selection import Selection
from core.subset import Subset

SEED = 0


def matched_random(selection: Selection, seed: int = SEED) -> MaskN:
    """(n,) one seeded draw. What draws do on average is `selection.subset.matched`."""
    subset = selection.subset
    return _draw(subset, subset.mask.tobytes(), subset.n_tokens.tobytes(), seed)


@st.cache_resource(max_entries=8, show_spinner=False)
def _draw(_subset: Subset, mask: bytes, n_tokens: bytes, seed: int) -> MaskN:
    """Kept under the subset's members and lengths, which alone decide it."""
    out = np.zeros(_subset.n, bool)
    out[_subset.matched.draw(generator(seed))] = True
    return out

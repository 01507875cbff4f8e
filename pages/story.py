"""Story: five locked steps on a frozen snapshot, for a stakeholder."""

import streamlit as st

from pages.ui import story
from pages.ui.story_steps import STEPS

story.open_story()
selection = story.snapshot()

at = story.step()
with st.container(key="story"):
    STEPS[at - 1](selection)
story.turn(at)

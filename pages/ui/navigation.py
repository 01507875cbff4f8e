"""The pages in the order of the navigation, and which run is shown when nobody chose one."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from core.methods import catalogue

OWN_PAGE = "differential_entropy"


class Entry(NamedTuple):
    """One line of the navigation."""

    group: str
    script: str
    title: str
    icon: str
    question: str


ENTRIES = (
    Entry(
        "",
        "app.py",
        "Overview",
        ":material/home:",
        "What is here, is it scored, and what would be kept?",
    ),
    Entry(
        "Explore",
        "pages/entropy.py",
        "Entropy",
        ":material/ssid_chart:",
        "What did calibration change?",
    ),
    Entry(
        "Explore",
        "pages/divergence.py",
        "Divergence",
        ":material/bubble_chart:",
        "Where do repeated answers disagree, and how?",
    ),
    Entry(
        "Explore",
        "pages/gradients.py",
        "Gradient map",
        ":material/explore:",
        "Which samples push toward my target, and which targets are served by none?",
    ),
    Entry(
        "Explore",
        "pages/trajectories.py",
        "Trajectories",
        ":material/timeline:",
        "What is learned early, late, or never?",
    ),
    Entry(
        "Explore",
        "pages/complexity.py",
        "Complexity",
        ":material/school:",
        "What is hard, and does entropy know it?",
    ),
    Entry(
        "Select",
        "pages/recipe.py",
        "Recipe",
        ":material/tune:",
        "What do I keep, and how fragile is that?",
    ),
    Entry(
        "Select",
        "pages/compare.py",
        "Compare",
        ":material/compare_arrows:",
        "A, B or random: what differs?",
    ),
    Entry(
        "Audit", "pages/reader.py", "Reader", ":material/article:", "Is it right, and why is it in?"
    ),
    Entry(
        "Audit",
        "pages/audit.py",
        "Audit",
        ":material/fact_check:",
        "How good is the subset, and how sure is that?",
    ),
    Entry(
        "Ship",
        "pages/export.py",
        "Export",
        ":material/ios_share:",
        "What leaves, and can it be made again?",
    ),
    Entry(
        "Run",
        "pages/runs.py",
        "Runs",
        ":material/play_circle:",
        "Are the scores there, and can I trust them?",
    ),
)


def shown_first(runs: pd.DataFrame) -> str:
    """The newest run of a method that has a page of its own, else of a published one, else any."""
    baselines = {name for name, cls in catalogue().items() if cls.baseline}
    method = runs["method"].astype(str)
    rank = np.where(method == OWN_PAGE, 0, np.where(method.isin(baselines), 2, 1))
    return str(runs["run_id"].iloc[int(np.argmin(rank))])

"""What an export says of itself to a machine: enough to make the same bytes again."""

from collections.abc import Mapping
from typing import Any

from core import runs
from core.policies import build
from core.selection import Selection

MANIFEST = 1  # version of the manifest's own layout


def manifest(
    selection: Selection,
    layout: Mapping[str, Any],
    written: Mapping[str, Any],
    notes: Mapping[str, int],
) -> dict[str, Any]:
    """All that is needed to make the files again. No clock, no path: equal exports are equal."""
    run, subset = selection.run, selection.subset
    return {
        "manifest": MANIFEST,
        "pool": {"name": run.pool, "fingerprint": run.fingerprint, "samples": run.n},
        "run": {"run_id": run.run_id, "method": run.method, "params": run.params, "card": run.card},
        "recipe": selection.recipe.plain(),
        "recipe_key": selection.recipe.key,
        "layout": dict(layout),
        "counts": {
            "samples": len(subset.chosen),
            "response_tokens": subset.tokens,
            "by_reason": subset.counts(),
        },
        "notes": dict(notes),
        "policy_notes": list(subset.notes),
        "files": dict(written),
        "seeds": seeds(selection),
        "versions": runs.versions(),
    }


def seeds(selection: Selection) -> dict[str, Any]:
    """Every seed that the subset depends on; that of the policy by the name `policy_seed`."""
    recipe = selection.recipe
    policy = build(recipe.policy, recipe.policy_params).model_dump()
    seeds = {k: v for k, v in selection.run.params.items() if k.endswith("seed")}
    return seeds | {f"policy_{k}": v for k, v in policy.items() if k.endswith("seed")}

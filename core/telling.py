"""A recipe in plain words, for people who will never see its fields."""

from core.methods import catalogue
from core.policies import catalogue as policies
from core.policies.budget import Budget
from core.recipe import Recipe
from core.store.runs import Run


def in_words(recipe: Recipe, run: Run) -> list[str]:
    """What the recipe does, one sentence a step, in the order in which the steps act."""
    said = [f"Score every sample by {scored_by(run)}."]
    said += [f"Set {name(k)} to {v}, not {was}." for k, v, was in _changed(recipe, run)]
    said += [f"Drop whatever fails: {rule}." for rule in recipe.rules]
    said += _by_hand_and_once(recipe)
    quotas = sorted(recipe.quotas.items())
    said += [f"Take at most {most:,} from {source}." for source, most in quotas]
    title = policies()[recipe.policy].title
    knobs = ", ".join(f"{name(k)} {v}" for k, v in recipe.policy_params.items())
    with_knobs = f" ({knobs})" if knobs else ""
    said.append(f"Of what is left take “{title}”{with_knobs} until {budget(recipe.budget)}.")
    return said


def scored_by(run: Run) -> str:
    """The method, where it comes from and the model that measured."""
    card = catalogue().get(run.method)
    by = f"{card.title}, {card.paper}" if card else run.method
    return f"{by}, measured by {models(run)}" if models(run) else by


def models(run: Run) -> str:
    """The models of a run with their precision, or nothing where none was asked."""
    measured = run.card.get("checkpoints") or {}
    names = sorted({f"{c['name']}@{c['revision']}" for c in measured.values()})
    return f"{', '.join(names)} in {run.card['precision']}" if names else ""


def budget(text: str) -> str:
    """`10%` as "10 % of the pool are full"; every budget as the end of a sentence."""
    parsed = Budget.parse(text)
    of = "response tokens" if parsed.unit == "tokens" else "samples"
    return (
        f"{parsed.amount} % of the pool’s {of} are taken"
        if parsed.share
        else (f"{parsed.amount:,} {of} are taken")
    )


def name(field: str) -> str:
    """A field's name as words."""
    return field.replace("_", " ")


def _changed(recipe: Recipe, run: Run) -> list[tuple[str, object, object]]:
    """Live knobs that differ from the run: name, value, value of the run."""
    pairs = [(k, v, run.params.get(k)) for k, v in sorted(recipe.params.items())]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _by_hand_and_once(recipe: Recipe) -> list[str]:
    kept = sum(pin.keep for pin in recipe.pins)
    dropped = len(recipe.pins) - kept
    said = [f"Drop {dropped:,} that a person chose to drop."] if dropped else []
    if recipe.distinct is not None:
        said.append(f"Keep {recipe.distinct}.")
    return said + ([f"Keep {kept:,} that a person chose to keep, first of all."] if kept else [])

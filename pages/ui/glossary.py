"""One sentence for each term, shown as help wherever the term stands."""

TERMS = {
    "kept": "Samples that the recipe keeps: they pass every rule and fit into the budget.",
    "scored": "Samples that have a score. The others have a reason instead.",
    "tokens": "Response tokens: what a model learns from. The prompt does not count.",
    "entropy": "How spread out the model's prediction is, averaged over the response tokens, in"
    " nats. 0 is certain.",
    "nll": "How unlikely the model finds the response, averaged over its tokens, in nats.",
    "nll_drop": "NLL under the base model minus NLL under the calibrated one. Above 0: the light"
    " tuning made this answer likelier.",
    "entropy_drop": "Entropy under the base model minus entropy under the calibrated one. Above 0:"
    " the light tuning made the model more certain. The lowest are chosen first.",
    "score": "What the method ranks by. Higher is chosen earlier.",
    "budget": "How much the subset may hold: samples, per cent of the pool, response tokens, or per"
    " cent of its response tokens.",
    "policy": "How the budget is spent: by score alone, in parts by group, or by query.",
    "trim": "Samples in either tail of the NLL drop are set aside: the tuning changed them too"
    " little or too much to trust.",
    "rule": "A range on a column. Samples outside of it are dropped.",
    "query": "A few samples of what the model should become good at. Samples that push towards them"
    " score high.",
    "recipe": "Rules, ranking, policy and budget together. The same recipe on the same run keeps"
    " the same samples.",
    "map": "Samples that are alike lie close together; the axes mean nothing. A lasso makes a rule,"
    " a click opens the sample.",
}


def term(name: str) -> str:
    """The sentence for a term; every term a page names has one."""
    return TERMS[name]

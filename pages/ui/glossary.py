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
    "plain": "Every character as it stands in the sample. Off: markdown is drawn, and whatever"
    " could act (links, images, HTML) is shown as text.",
    "trace": "Each step of the recipe in order, and by how much this sample passed or missed it.",
    "percentile": "The share of the other samples that are lower (or higher), in the pool and among"
    " samples of the same source.",
    "neighbours": "The samples whose instructions mean most nearly the same, by the cosine of their"
    " embeddings on the pool's map.",
    "heat": "NLL: how unlikely the model found this token. Entropy: how unsure it was before it."
    " Both in nats, under the checkpoints of the run.",
    "reviewer": "Stands with each verdict. It is kept in the store and in this session, nowhere"
    " else.",
    "blind": "Hides score, fate and the verdicts of others while you judge, so that they do not"
    " sway you.",
    "strata": "Kept and dropped are random draws, so their shares hold for all of them. Borderline"
    " and disagreement are chosen, and enter no estimate.",
    "precision": "The share of good samples among the kept, from a random draw of them. Unsure"
    " verdicts are left out; the pale bar shows how far they could move it.",
    "loss": "The share of good samples among the dropped: what the recipe loses.",
    "interval": "Wilson's 95 % interval, narrower as more of the stratum is judged; when all of it"
    " is, no doubt is left.",
    "kappa": "Cohen's kappa: agreement of two reviewers beyond chance. 1 is full, 0 is chance.",
    "map": "Samples that are alike lie close together; the axes mean nothing. A lasso makes a rule,"
    " a click opens the sample.",
}


def term(name: str) -> str:
    """The sentence for a term; every term a page names has one."""
    return TERMS[name]

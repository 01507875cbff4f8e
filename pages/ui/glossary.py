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
    "dispersion": "How far the model's own answers to an instruction lie from their centre: the"
    " mean squared distance of their unit vectors. 0: they all say the same.",
    "anisotropy": "The share of the answers' spread outside its main direction. Near 0 they differ"
    " in one way only; higher, in several.",
    "lambda": "The score is (1 − λ) dispersion + λ anisotropy. Dispersion is often a few hundredths"
    " where anisotropy is several tenths.",
    "central": "The answer with the highest cosines to the others: what the model mostly says.",
    "cosine": "How alike two answers are to the model: 1 is the same direction, 0 unrelated.",
    "cloud": "The answers on the two directions in which they differ most, a PCA of their vectors."
    " Lines lead to their centre.",
    "similarity": "How far a sample's gradient points the way of a query's: the cosine, summed over"
    " checkpoints. Higher means training on it would help the query more.",
    "served": "A query is served when at least one kept sample is nearer to it than this share of"
    " all pairs of a sample and a query.",
    "selector": "A policy that chooses by the queries. All of them choose here from what the rules"
    " leave, at this recipe's budget.",
    "jaccard": "Samples that both take, of those that either takes: 1 is the same subset.",
    "distance": "Transport (the paper's): the least mean 1 − similarity when every sample carries"
    " the same mass and every query receives the same. Nearest: the mean over queries of"
    " 1 − similarity of the nearest chosen sample.",
    "recipe": "Rules, ranking, policy and budget together. The same recipe on the same run keeps"
    " the same samples.",
    "map": "Samples that are alike lie close together; the axes mean nothing. A lasso makes a rule,"
    " a click opens the sample.",
}


def term(name: str) -> str:
    """The sentence for a term; every term a page names has one."""
    return TERMS[name]

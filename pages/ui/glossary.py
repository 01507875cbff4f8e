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
    # loss curves
    "trajectory": "The loss of one sample at each saved checkpoint of the training of a small"
    " model, in nats per response token.",
    "cluster": "Samples whose loss curves are alike. Similar curves mean similar gradients, so a"
    " few of a cluster say what all of it says.",
    "water level": "How many of each cluster are kept when all are filled equally: smaller clusters"
    " give all they have, larger ones this many.",
    "known already": "The cluster's median loss is low from the first checkpoint on and hardly"
    " moves: less than half of the usual change.",
    "learned early": "The cluster's median loss drops, and half of the drop is done no later than"
    " half of the pool's own.",
    "learned late": "The cluster's median loss drops, and half of the drop is done later than half"
    " of the pool's own.",
    "never learned": "The cluster's median loss hardly moves, less than half of the usual change,"
    " and ends above the pool's.",
    "forgotten": "The cluster's median loss ends above its lowest point by more than half of the"
    " usual change.",
    # answer entropy
    "answer entropy": "How unsure the model is of the first token of its answer to a"
    " multiple-choice question, in nats. 0 is certain.",
    "band": "Easy, middle and hard questions: parts of the pool by the entropy of the answer.",
    "roc": "For every threshold on the entropy: the share of wrong answers above it against the"
    " share of right ones. The area below is how often a wrong answer has the higher entropy.",
    "reliability": "Answers in bins by the probability that the model gave to its choice, against"
    " the share that is right. A model that knows what it knows lies on the diagonal.",
    "teacher": "The paper trains easy and middle questions on their bare answers and asks a larger"
    " model to reason only about the hard ones.",
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
    "distance": "Transport (the paper's): the least mean 1 − similarity when every sample carries"
    " the same mass and every query receives the same. Nearest: the mean over queries of"
    " 1 − similarity of the nearest chosen sample.",
    "recipe": "Rules, ranking, policy and budget together. The same recipe on the same run keeps"
    " the same samples.",
    "search": "Looks for the text in every turn of every sample, in upper or lower case.",
    "distinct": "Samples that say nearly the same form a group; the one that ranks highest stays.",
    "quota": "At most this many samples of a source: the ones that rank highest stay.",
    "waterfall": "Two numbers a step: what it removes of what the steps before it left, and what it"
    " would remove if it were the only one.",
    "fragility": "How much of the subset would change if a threshold stood a little elsewhere."
    " Where a small step exchanges much, the choice says more about the threshold than the data.",
    "matched": "Seeded draws with as many samples as are kept, and as many of each response length."
    " What a choice has to beat: most scores follow length.",
    "jaccard": "Samples that both keep, of all that either keeps: 0 is none, 1 is the same.",
    "by_chance": "If those that either keeps fell to A, to both or to B at random, 95 of 100 such"
    " deals would leave all rows within their grey bands. Outside of it a difference is clear.",
    "spearman": "How alike two orders are: 1 the same, 0 unrelated, −1 turned around.",
    "health": "What is missing, the same for all, tied, or only length; and whether another seed"
    " would say the same.",
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

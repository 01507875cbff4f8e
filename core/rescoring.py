"""Scores of a stored run under other knobs, while a slider moves."""

from collections.abc import Mapping
from typing import Any

from core.domain import Scores
from core.endpoints import of_card
from core.errors import RunError
from core.methods import build
from core.store import runs as stored


def rescore(run: stored.Run, columns: Mapping[str, Any], params: Mapping[str, Any]) -> Scores:
    """Scores of a run under other live knobs, from its stored columns; no model is touched.

    Raises:
        MethodError: a parameter is wrong.
        RunError: a parameter changes what must be measured.
    """
    method = build(run.method, run.params)
    if not method.is_live(params):
        do = f"Score again: {_again(run, params)}"
        raise RunError(run.run_id[:8], "these parameters need new measurements", do=do)
    return method.with_params(params).score(columns)


def _again(run: stored.Run, params: Mapping[str, Any]) -> str:
    """The command that scores a run's pool again under other parameters."""
    words = [stored.how(run.pool, run.method)]
    if (query := run.card.get("query")) is not None:
        words.append(f"--query {query['name']}")
    if (model := run.card.get("model", "embedded")) not in ("embedded", ""):
        words.append(f"--model {model}")
    if (answers := of_card(run.card)) is not None:
        words.append(f"--answers-endpoint {answers.url} --answers-model {answers.model}")
    return " ".join([*words, *(f"--set {k}={v}" for k, v in params.items())])

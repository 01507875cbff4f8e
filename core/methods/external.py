"""External: scores that were made elsewhere and joined to the pool by `sftlens score-import`.

Nothing is computed: value = the imported column, or its negative where lower is better. Its
other numbers are diagnostics, so rules, policies, export and replay treat it like any run.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from core.domain import Arrays, Scores
from core.errors import MethodError
from core.methods import Method
from core.signals import Signal


class External(Method):
    """Scores from a file of your own."""

    name = "external"
    title = "Imported scores"
    paper = "your own file"
    policy = "top"
    pointwise = True
    measures: ClassVar[bool] = False

    label: str = Field("", max_length=80, description="name that the imported scores go by")
    file: str = Field("", max_length=255, description="name of the file that they came from")
    score_column: str = Field("", max_length=80, description="column that samples are ranked by")
    order: Literal["higher", "lower"] = Field(
        "higher", description="end of the scale that is chosen first"
    )

    def needs(self) -> Mapping[str, Signal]:
        """Nothing: the numbers are in the store."""
        return {}

    def score(self, x: Arrays) -> Scores:
        """Value = the imported score, or minus it: higher is chosen earlier.

        Without an import there is no score: every sample is excluded with that reason.

        Raises:
            MethodError: the imported run has no column of this name.
        """
        n = len(x["id_hash"])
        if "matched" in x and self.score_column not in x:
            where = f"{self.name}.score_column"
            do = "Name a column of the imported file, as rules name it."
            raise MethodError(where, "there is no such column", got=self.score_column, do=do)
        given = np.asarray(x.get(self.score_column, np.full(n, np.nan)), np.float64)
        matched = np.asarray(x.get("matched", np.zeros(n)), bool)
        broken = matched & ~np.isfinite(given)
        source = self.file or "any file (import some: sftlens score-import)"
        value = given if self.order == "higher" else -given
        return Scores(
            np.where(matched & ~broken, value, np.nan),
            excluded={f"no score in {source}": ~matched, "the score is not a number": broken},
        )

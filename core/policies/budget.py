"""How much a subset may hold.

A budget counts samples, per cent of the pool, response tokens, or per cent of its response
tokens: `160`, `10%`, `5000 tokens`, `10% tokens`.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from core.domain import FloatN
from core.errors import BudgetError

# 1,000 and 1_000 have thousands separators; 1,5 is refused rather than read as 15
PATTERN = re.compile(
    r"\s*([0-9]+(?:[_,][0-9]{3})*(?:\.[0-9]+)?)\s*(%?)\s*(tokens?|tok|samples?)?\s*"
)
MOST = 10**15  # more than any pool holds; a float64 and an int64 hold it exactly


@dataclass(frozen=True)
class Budget:
    """How much a subset may hold."""

    amount: Decimal
    share: bool  # of the pool, in per cent
    unit: Literal["samples", "tokens"]

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `160`, `10%`, `5000 tokens` or `10% tokens`.

        Raises:
            BudgetError: not of that form, zero, or more than 100 %.
        """
        match = PATTERN.fullmatch(text)
        do = "Give samples (160), per cent (10%), tokens (5000 tokens) or both (10% tokens)."
        if match is None:
            raise BudgetError("--budget", "is not a budget", got=text, do=do)
        amount = min(Decimal(match[1].replace("_", "").replace(",", "")), Decimal(MOST))
        share, unit = bool(match[2]), "tokens" if (match[3] or "").startswith("tok") else "samples"
        if amount == 0:
            raise BudgetError("--budget", "must be more than 0", got=text, do=do)
        if share and amount > 100:
            raise BudgetError("--budget", "is more than the whole pool", got=text, do=do)
        if not share and amount != int(amount):
            raise BudgetError("--budget", "must be a whole number", got=text, do=do)
        return cls(amount, share, unit)  # type: ignore[arg-type]

    def limit(self, n: int, n_tokens: FloatN) -> int:
        """Samples or tokens allowed for a pool of n samples with `n_tokens` (n,) each.

        Per cents count the whole pool, what is excluded too, rounded down exactly (no float).
        """
        if not self.share:
            return int(self.amount)
        whole = n if self.unit == "samples" else int(np.nansum(n_tokens))
        return int(self.amount * whole / 100)

    def __str__(self) -> str:
        mark = "%" if self.share else ""
        return f"{self.amount}{mark}" + (" tokens" if self.unit == "tokens" else "")

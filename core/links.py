"""A recipe as a short text that fits into a link, and back."""

import base64
import binascii
import json
import zlib

from core.errors import BudgetError
from core.recipe import Recipe

MOST_CHARS = 20_000  # of a link; browsers and servers take about that much
MOST_BYTES = 200_000  # of what it unpacks to


def pack(recipe: Recipe) -> str:
    """URL-safe text of a recipe: compressed JSON in base64. Equal recipes give equal texts."""
    text = json.dumps(recipe.plain(), sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpack(text: str) -> Recipe:
    """The recipe of a link.

    Raises:
        BudgetError: the text is none of `pack`, is too long, or holds no valid recipe.
    """
    do = "Copy the whole link, or make the recipe anew."
    if len(text) > MOST_CHARS:
        raise BudgetError("link", f"is longer than {MOST_CHARS:,} characters", do=do)
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(base64.b64decode(padded, b"-_", validate=True), MOST_BYTES)
        if not unpacking.eof:  # cut off, or a bomb
            raise ValueError("no end")
        return Recipe.load(json.loads(raw))
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        raise BudgetError("link", "does not hold a recipe", got=text[:40], do=do) from error

"""HTML as a tree, so that no text can ever become markup; written out as one page.

What a sample says reaches the page only as the text of an element: `xml.etree` escapes it.
"""

from typing import Any
from xml.etree.ElementTree import Element, tostring

POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the page can ask nobody for anything
PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {127: "␡"}
PICTURES |= {code: "�" for code in (0xFFFE, 0xFFFF, *range(0x80, 0xA0))}
UNSEEN = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�")


def el(tag: str, *children: "Element | str | None", **attributes: Any) -> Element:
    """An element. `class_` is class, other `_` are `-`; a child that is None is left out."""
    named = {k.rstrip("_").replace("_", "-"): str(v) for k, v in attributes.items()}
    made = Element(tag, named)
    last: Element | None = None
    for child in children:
        if isinstance(child, str) and last is None:
            made.text = (made.text or "") + visible(child)
        elif isinstance(child, str) and last is not None:
            last.tail = (last.tail or "") + visible(child)
        elif child is not None and not isinstance(child, str):
            made.append(child)
            last = child
    return made


def visible(text: str) -> str:
    """Control characters as pictures of themselves, and none that turns the text around it."""
    return text.replace("\r\n", "\n").translate(PICTURES | UNSEEN)


def page(title: str, style: str, *body: "Element | None") -> str:
    """A whole page: no script, and nothing that is asked for from elsewhere."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="robots", content="noindex"),
        el("title", title),
        el("style", style),
    )
    whole = el("html", head, el("body", el("main", *body)), lang="en")
    return "<!DOCTYPE html>\n" + tostring(whole, "unicode", method="html") + "\n"

"""Who is in front of the page: the login, what they may do, and the page for those unknown.

Without `--auth` it is whoever can reach the app. The rights themselves are in `core.access`, and
are asked again where a write happens; here they only grey out what would be refused.
"""

import logging
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from core import access, roles
from core.access import Action, Person
from core.errors import SFTLensError
from pages.ui.prose import sentence

ROLES_FILE = "SFTLENS_AUTH"  # set by `sftlens app --auth FILE`
T = TypeVar("T")
LOG = logging.getLogger(__name__)
_LATER: ContextVar[dict[str, Any] | None] = ContextVar("later", default=None)
NOBODY = Person("nobody", None, signed_in=True)


def _here() -> Person:
    """The person of this session, from the login of this very moment."""
    path = os.environ.get(ROLES_FILE, "").strip()
    return _signed_in(Path(path), _claims()) if path else access.owner()


def _claims() -> dict[str, Any]:
    kept = _LATER.get()
    return dict(st.user.to_dict()) if kept is None else kept


def later(do: Callable[[], T]) -> Callable[[], T]:
    """A download that Streamlit makes outside of any page: with this session's login.

    What that login may do is asked when the download is made, not now.
    """
    claims = _claims() if os.environ.get(ROLES_FILE) else {}

    def go() -> T:
        token = _LATER.set(claims)
        try:
            return do()
        finally:
            _LATER.reset(token)

    return go


def _signed_in(path: Path, claims: dict[str, Any]) -> Person:
    """Who a login's claims stand for: nobody, unless its provider vouches for the e-mail."""
    email, said = claims.get("email"), claims.get("email_verified")
    if claims.get("is_logged_in") is not True or not isinstance(email, str):
        return NOBODY
    if said is not True and said != "true":  # some providers send texts
        return Person(f"{email} (not verified)", None, signed_in=True)
    try:
        known = roles.read(path)
    except SFTLensError:
        return Person(email, None, signed_in=True)  # no roles, no rights
    fresh = _age_s(claims) < known.hours * 3600
    return Person(email.lower(), known.of(email) if fresh else None, signed_in=True)


def _age_s(claims: dict[str, Any]) -> float:
    """Seconds since the provider gave out this login; without end where it does not say."""
    issued = claims.get("iat")
    return time.time() - issued if isinstance(issued, int | float) else float("inf")


access.identify_by(_here)


def gate() -> None:
    """Nothing is read and nothing is sent before it is known to whom."""
    if not access.refusal("read"):
        return
    who = access.person()
    with st.container(border=True):
        st.subheader("SFTLens", anchor=False)
        if who == NOBODY:
            st.write("Log in to see what is here.")
            _doors()
        else:
            st.text(_why_unknown(who))
            st.caption("Ask whoever keeps the roles of this app.")
            st.button("Log in anew", key="rights_logout", on_click=st.logout)
    st.stop()


def _why_unknown(who: Person) -> str:
    """Why somebody who is signed in is not let in. What is wrong with the roles is for the log."""
    try:
        roles.read(Path(os.environ[ROLES_FILE]))
    except SFTLensError as error:
        LOG.error("nobody has access: %s", error)
        return "The roles of this app cannot be read, so nobody has access."
    return f"{who.name} has no access here, or the login is too old."


def _doors() -> None:
    """A button for each provider of the secrets file."""
    found = st.secrets.get("auth", {}) if st.secrets.load_if_toml_exists() else {}
    named = [name for name, part in found.items() if hasattr(part, "get") and "client_id" in part]
    for name in named or [None]:
        said = f"Log in with {name}" if name else "Log in"
        args = (name,) if name else ()
        st.button(said, key=f"rights_login_{name}", type="primary", on_click=st.login, args=args)


def card() -> None:
    """In the sidebar: who is signed in, and a way out; or that nothing can be changed."""
    who = access.person()
    if who.signed_in:
        st.divider()
        st.text(f"{who.name} · {who.role}")
        st.button("Log out", key="rights_out", type="tertiary", on_click=st.logout)
    if access.read_only():
        st.caption(":material/lock: This app is read-only.")


def why_not(action: Action) -> str:
    """Why this person may not do it, as markdown; empty where it is allowed."""
    return sentence(access.refusal(action))


def lock(action: Action, about: str | None = None, *, disabled: bool = False) -> dict[str, Any]:
    """`disabled` and `help` of a control that writes: greyed out with the reason, or as given."""
    reason = why_not(action)
    return {"disabled": disabled or bool(reason), "help": reason or about}

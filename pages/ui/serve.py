"""The app's server, with everything imported that a first page needs, and `/healthz` beside it.

    python -m pages.ui.serve app.py 8501 127.0.0.1

Streamlit imports a page's modules when the first person opens it, who then waits for them.
"""

import logging
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from core import app_server, config, logs
from pages import ui
from pages.ui import charts

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

HOSTS = "SFTLENS_HOSTS"  # more names of the app on loopback, as a proxy in front of it goes by
HEAVY = ("plotly.graph_objects", "scipy.stats")
SECRETS = {  # an environment variable -> its name in the secrets file's [auth]
    "SFTLENS_OIDC_CLIENT_ID": "client_id",
    "SFTLENS_OIDC_CLIENT_SECRET": "client_secret",
    "SFTLENS_OIDC_METADATA_URL": "server_metadata_url",
    "SFTLENS_OIDC_REDIRECT_URI": "redirect_uri",
    "SFTLENS_COOKIE_SECRET": "cookie_secret",
}
HEALTHY = ("none", "ready", "older", "busy")  # a scorer that writes is no fault
KEPT_S = 2.0  # a probe in a loop must not keep the store open
_LAST: tuple[float, str] = (float("-inf"), "")


def main() -> None:
    """Import, then serve until the process is told to end."""
    script, port, host = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    import streamlit
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    _log()
    secrets = _secrets()
    _import_all()
    sys.argv = [str(script)]  # its folder, and not that of this module, is looked for modules
    routes = [Route("/healthz", health, methods=["GET"])]
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(host), www_redirect=False)]
    settings: dict[str, Any] = {"server.port": port, "server.address": host}
    # else Streamlit asks a server elsewhere for this machine's address, to greet with it
    settings["logger.hideWelcomeMessage"] = True
    if _shared(host):  # opens no browser here, and installs nothing that a browser asks for
        settings |= {"server.headless": True, "server.enableAgentApi": False}
        settings["server.trustedUserHeaders"] = {}  # a header must not say who somebody is
    app = streamlit.App(script, routes=routes, middleware=guards, secrets=secrets)
    app.run(config=settings)


def _hosts(host: str) -> list[str]:
    """The names by which a browser may ask for the app.

    A page of anybody's can give its own name the address of this machine, and then asks the app
    as if it were the app's own page (DNS rebinding). On loopback that name is refused. A login is
    bound to its own name; and who listens for others is known by names that nobody here knows.
    """
    if not app_server.is_loopback(host) or os.environ.get("SFTLENS_AUTH"):
        return ["*"]
    named = [name.strip() for name in os.environ.get(HOSTS, "").split(",") if name.strip()]
    return ["localhost", "127.0.0.1", "::1", "[::1]", host, *named]


def _shared(host: str) -> bool:
    """Whether others than who started the app may use it."""
    return app_server.is_guarded({}) or not app_server.is_loopback(host)


def _import_all() -> None:
    from core import methods, policies

    for package in (ui, charts):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for name in HEAVY:
        import_module(name)
    methods.catalogue()
    policies.catalogue()


def _log() -> None:
    """Streamlit and uvicorn have handlers of their own; let those strike out secrets, too."""
    from streamlit import logger as streamlit_logger
    from uvicorn.config import LOGGING_CONFIG

    def ours(logger: logging.Logger) -> None:
        logger.handlers = [logs.handler(streamlit_logger.DEFAULT_LOG_MESSAGE)]

    logs.set_up()
    streamlit_logger.setup_formatter = ours
    streamlit_logger.update_formatter()
    LOGGING_CONFIG["handlers"] = {name: {"()": logs.handler} for name in ("default", "access")}
    if not logs.as_json():  # "Started server process" tells a person nothing
        LOGGING_CONFIG["loggers"]["uvicorn"]["level"] = "WARNING"


def _secrets() -> dict[str, Any] | None:
    """The login's settings from the environment, taken out of it; None leaves the secrets file.

    They are in no log line: what is read from the file is hidden as well.
    """
    from streamlit import secrets as from_file

    if not os.environ.get("SFTLENS_AUTH"):
        return None
    found = {name: os.environ.pop(k) for k, name in SECRETS.items() if os.environ.get(k)}
    _hide_deep(found)
    if found:
        return {"auth": found}
    auth = from_file.to_dict().get("auth") if from_file.load_if_toml_exists() else None
    if auth:
        _hide_deep(auth)
    else:
        do = f"Write [auth] into .streamlit/secrets.toml, or set {', '.join(SECRETS)}."
        sys.exit(f"error: --auth: the login has no provider. {do}")
    return None


def _hide_deep(table: dict[str, Any]) -> None:
    for name, value in table.items():
        if isinstance(value, dict):
            _hide_deep(value)
        elif name.endswith("secret"):
            logs.hide(value)


async def health(request: "Request") -> "JSONResponse":
    """Whether the app serves and its store can be opened; 503 where it cannot. Tells no path."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    state = await run_in_threadpool(_store_state)
    healthy = state in HEALTHY
    facts = {"status": "ok" if healthy else "failing", "store": state}
    return JSONResponse(facts, 200 if healthy else 503, headers={"Cache-Control": "no-store"})


def _store_state() -> str:
    from core.store.look import look

    global _LAST
    if time.monotonic() - _LAST[0] > KEPT_S:
        _LAST = (time.monotonic(), look(config.store_path()).state)
        if _LAST[1] not in HEALTHY:
            logging.getLogger(__name__).warning("the store is %s: sftlens doctor", _LAST[1])
    return _LAST[1]


if __name__ == "__main__":
    main()

"""A small OIDC provider on loopback that logs in whom the test names, without asking anybody."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "sftlens-test", "client-secret-0123456789"
COOKIE = "cookie-secret-0123456789-0123456789"


@dataclass
class Provider:
    """Who logs in next: the claims that their identity token says."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)  # by the code that was given out
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))

    def environment(self) -> dict[str, str]:
        """What the app must be told to ask this provider."""
        return {
            "SFTLENS_OIDC_CLIENT_ID": CLIENT,
            "SFTLENS_OIDC_CLIENT_SECRET": SECRET,
            "SFTLENS_OIDC_METADATA_URL": f"{self.url}/.well-known/openid-configuration",
            "SFTLENS_OIDC_REDIRECT_URI": "http://127.0.0.1:{port}/oauth2callback",
            "SFTLENS_COOKIE_SECRET": COOKIE,
            "AUTHLIB_INSECURE_TRANSPORT": "1",  # loopback has no TLS
        }

    def answer(self, path: str) -> dict[str, Any]:
        """What is asked for by name."""
        if path == "/.well-known/openid-configuration":
            ends = {"authorization": "authorize", "token": "token"}
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            } | {f"{name}_endpoint": f"{self.url}/{end}" for name, end in ends.items()}
        return {"keys": [self.key.as_dict(private=False) | {"use": "sig", "alg": "RS256"}]}

    def token(self, code: str) -> dict[str, Any]:
        """An identity token for a code that was given out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600}
        claims |= {"nonce": self.nonces.pop(code)} | self.claims
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return {"access_token": "access-0123456789", "token_type": "Bearer", "id_token": signed}


@contextmanager
def provider() -> Iterator[Provider]:
    """The provider, for as long as the body runs."""
    here = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path != "/authorize":
                self._json(here.answer(parts.path))
                return
            asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
            code = secrets.token_urlsafe(12)
            here.nonces[code] = asked.get("nonce", "")
            self.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._json(here.token(parse_qs(body)["code"][0]))

        def _json(self, facts: dict[str, Any]) -> None:
            text = json.dumps(facts).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing: a test is quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()

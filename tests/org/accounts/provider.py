"""A real OpenID provider in a process of its own, and a browser that logs in there."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from service.embedded import leave_with_parent
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CALLBACK = "http://localhost/api/v1/organisers/oidc/callback"
OVER_TLS = CALLBACK.replace("http:", "https:")
CLIENT, OTHER = "chunshui", "another-service"
SECRET = "a secret that only the tests know: %+/ of the client"
MFA = "urn:chunshui:mfa"


@dataclass(frozen=True)
class RealProvider:
    """A running oidc-provider with two clients."""

    issuer: str

    def log_in(self, address: str, subject: str | None = "ana", *, acr: str = "", amr: str = "") -> dict[str, str]:
        """A browser goes to `address` and logs in as `subject` (None: gives up); what it is sent back with."""
        with httpx.Client(base_url=self.issuer, trust_env=False) as browser:
            response = browser.get(address)
            fields = {"subject": subject or "", "acr": acr, "amr": amr}
            response = browser.post(
                response.headers["Location"], data={name: one for name, one in fields.items() if one}
            )
            while not (back := response.headers["Location"]).startswith((CALLBACK, OVER_TLS)):
                response = browser.get(back)
        return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


@contextmanager
def running(host: str = "127.0.0.1", callback: str = CALLBACK) -> Iterator[RealProvider]:
    """Start it, by that name of this machine, until the block ends."""
    port = free_port()
    clients = [
        {"client_id": one, "client_secret": SECRET, "redirect_uris": [callback, OVER_TLS]} for one in (CLIENT, OTHER)
    ]
    script, modules = Path(__file__).with_name("provider.mjs"), ROOT / "web" / "node_modules"
    arguments = ["node", str(script), host, str(port), json.dumps(clients), str(modules)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(arguments, stdout=pipe, stderr=nothing, text=True, preexec_fn=leave_with_parent) as process:
        try:
            assert process.stdout
            yield RealProvider(process.stdout.readline().strip())
        finally:
            process.kill()

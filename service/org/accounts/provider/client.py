"""The only caller of the identity provider: where it lets people log in, and who did (OpenID Connect Core 1.0).

The protocol's rules are Authlib's, signatures joserfc's; calls are made with the HTTP client that we have (decision
14). Nothing is sent twice, since a code is good once. No code, token or secret is logged.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from service.config import Config
from service.errors import ServiceError
from service.org.accounts.provider.journeys import Journey
from service.spelling import is_guarded, listed

# Signatures that only the provider can make. With HMAC everybody who knows the client's secret could; "none" is none.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
# How long what the provider says of itself, and its keys, are believed; an unknown key is asked for at once.
FRESH_SECONDS = 3600.0
# Of a provider whose clock is not ours.
LEEWAY_SECONDS = 60
LONGEST_SUBJECT = 255
DISCOVERY = "/.well-known/openid-configuration"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in there, and whether the provider says that it was by as much as the settings demand."""

    issuer: str
    subject: str
    two_factors: bool


class Provider:
    """An identity provider, by the settings; what it says of itself is asked for when it is needed."""

    def __init__(self, config: Config, http: httpx.Client) -> None:
        self.issuer = config.oidc_issuer
        self.redirect = config.web_url.rstrip("/") + "/api/v1/organisers/oidc/callback"
        self._config = config
        self._http = http
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def address(self, journey: Journey) -> str:
        """Where a browser logs in; ServiceError provider_unavailable."""
        address: str = prepare_grant_uri(
            self._metadata()["authorization_endpoint"],
            client_id=self._config.oidc_client_id,
            response_type="code",
            redirect_uri=self.redirect,
            scope="openid",
            state=journey.state,
            nonce=journey.nonce,
            code_challenge=create_s256_code_challenge(journey.verifier),
            code_challenge_method="S256",
            acr_values=" ".join(listed(self._config.oidc_acr)) or None,
        )
        return address

    def identify(self, code: str, journey: Journey, now: datetime) -> Identity:
        """Who got `code` on this journey; ServiceError provider_refused or provider_unavailable."""
        return self.read(self._exchange(code, journey.verifier), journey.nonce, now)

    def read(self, id_token: str, nonce: str, now: datetime) -> Identity:
        """Whom a token names that was made for us, now and for `nonce`; ServiceError as `identify`."""
        rules = {"iss": {"essential": True, "value": self.issuer}}
        rules["aud"] = {"essential": True, "value": self._config.oidc_client_id}
        known = {"nonce": nonce, "client_id": self._config.oidc_client_id}
        try:
            token = self._verified(id_token)
            claims = CodeIDToken(token.claims, token.header, rules, known)
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            log.warning("the identity provider's token is refused", reason=type(error).__name__)
            raise ServiceError("provider_refused") from None
        subject = claims["sub"]
        if not subject or len(subject) > LONGEST_SUBJECT or not subject.isprintable():
            raise ServiceError("provider_refused")
        return Identity(self.issuer, subject, self._shows_two_factors(claims))

    def _shows_two_factors(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token has what the settings demand; where they demand nothing it shows one factor."""
        classes, methods = listed(self._config.oidc_acr), listed(self._config.oidc_amr)
        shown = claims.get("amr") or ()
        met = (not classes or claims.get("acr") in classes) and (not methods or any(one in methods for one in shown))
        return met and bool(classes or methods)

    def _exchange(self, code: str, verifier: str) -> str:
        """The id_token for a code, which is spent by this."""
        metadata = self._metadata()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect}
        form["code_verifier"] = verifier
        client, secret = self._config.oidc_client_id, self._config.oidc_client_secret
        auth: tuple[str, str] | None = (quote(client, safe=""), quote(secret, safe=""))
        if "client_secret_basic" not in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            form, auth = form | {"client_id": client, "client_secret": secret}, None
        answer = self._ask("POST", metadata["token_endpoint"], data=form, auth=auth)
        if answer.get("error") == "invalid_grant":
            raise ServiceError("provider_refused")
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            # The client or its secret is wrong, or this is no OpenID provider: for the operator to see.
            log.error("the identity provider gives no token", error=str(answer.get("error", ""))[:80])
            raise ServiceError("provider_unavailable")
        return id_token

    def _verified(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, self._keys(), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            # Signed with a key that came after we asked.
            return jwt.decode(id_token, self._keys(fresh=True), algorithms=ALGORITHMS)

    def _keys(self, *, fresh: bool = False) -> KeySet:
        address = self._metadata()["jwks_uri"]
        try:
            return KeySet.import_key_set(self._remembered(address, fresh=fresh))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            self._kept.pop(address, None)
            log.error("the identity provider's keys cannot be read")
            raise ServiceError("provider_unavailable") from None

    def _metadata(self) -> dict[str, Any]:
        """What the provider says of itself; only as the issuer whom the settings name, and with guarded addresses."""
        return self._remembered(self.issuer.rstrip("/") + DISCOVERY, check=self._is_itself)

    def _is_itself(self, metadata: dict[str, Any]) -> bool:
        return metadata.get("issuer") == self.issuer and all(is_guarded(str(metadata.get(one))) for one in ENDPOINTS)

    def _remembered(
        self, address: str, *, fresh: bool = False, check: Callable[[dict[str, Any]], bool] = bool
    ) -> dict[str, Any]:
        """What is at `address`, kept for a while if `check` lets it through."""
        until, answer = self._kept.get(address, (0.0, {}))
        if fresh or until <= time.monotonic():
            answer = self._ask("GET", address)
            if not check(answer):
                log.error("the identity provider says of itself what the settings do not")
                raise ServiceError("provider_unavailable")
            self._kept[address] = (time.monotonic() + FRESH_SECONDS, answer)
        return answer

    def _ask(self, method: str, address: str, **request: Any) -> dict[str, Any]:
        """The JSON object that is answered; ServiceError provider_unavailable without one."""
        try:
            response = self._http.request(method, address, headers={"Accept": "application/json"}, **request)
            answer = response.json() if response.status_code < 500 else None
        except (httpx.HTTPError, ValueError) as error:
            # The type only: an error's text may quote what was sent.
            log.warning("the identity provider did not answer", reason=type(error).__name__)
            raise ServiceError("provider_unavailable") from None
        if not isinstance(answer, dict):
            log.warning("the identity provider did not answer", reason=str(response.status_code))
            raise ServiceError("provider_unavailable")
        return answer


def connect(config: Config) -> Provider | None:
    """The provider of the settings, which is not asked before its first use; None without one."""
    if not config.oidc_issuer:
        return None
    # A proxy of the environment is for the outside world, not for a provider on this machine.
    local = urlsplit(config.oidc_issuer).scheme == "http"
    return Provider(config, httpx.Client(timeout=config.oidc_timeout_seconds, trust_env=not local))

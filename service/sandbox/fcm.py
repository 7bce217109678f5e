"""Firebase Cloud Messaging: tokens for a service account's signed claims, and errors as FCM details them."""

import itertools
import secrets
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.sandbox.faults import Answer, Faults

PROJECT = "sandbox"
EMAIL = "sandbox@sandbox.invalid"
STATUSES = {
    "UNREGISTERED": (404, "NOT_FOUND"),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT"),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED"),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "INTERNAL": (500, "INTERNAL"),
}
DETAIL = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
VIOLATION = "type.googleapis.com/google.rpc.BadRequest"


class Fcm:
    """The rules. A fault's code is one of STATUSES, `INVALID_ARGUMENT message.data` for one that names a field."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.told: list[dict[str, Any]] = []
        self._tokens: set[str] = set()
        self._numbers = itertools.count(1)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def account(self, url: str) -> dict[str, str]:
        """A service account's file, whose tokens are had at `url`."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "project_id": PROJECT,
            "private_key_id": "sandbox-1",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "token_uri": f"{url}/token",
        }

    def grant(self, body: bytes) -> Answer:
        """`POST /token`: a token for claims that this service account signed."""
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        try:
            key = self._key.public_key()
            claims = jwt.decode(form.get("assertion", ""), key, algorithms=["RS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return Answer({"error": "invalid_grant"}, status=400)
        if claims.get("iss") != EMAIL or not str(claims.get("aud")).endswith("/token"):
            return Answer({"error": "invalid_grant"}, status=400)
        token = secrets.token_urlsafe(40)
        self._tokens.add(token)
        return Answer({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def revoke(self) -> None:
        """Let no token be good any more."""
        self._tokens.clear()

    def send(self, told: dict[str, Any], authorization: str) -> Answer:
        """`POST /v1/projects/sandbox/messages:send`."""
        if authorization.removeprefix("Bearer ") not in self._tokens:
            return Answer({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, status=401)
        found = told.get("message")
        message: dict[str, Any] = found if isinstance(found, dict) else {}
        device = str(message.get("token", ""))
        if (fault := self._faults.happens("fcm", device)) is not None:
            return Answer(None) if fault.code == "lost_reply" else _error(fault.code, fault.seconds)
        if not device:
            return _error("INVALID_ARGUMENT")
        wrong = [name for name, value in message.get("data", {}).items() if not isinstance(value, str)]
        if wrong:
            return _error(f"INVALID_ARGUMENT message.data[{wrong[0]}]")
        self.told.append(message)
        return Answer({"name": f"projects/{PROJECT}/messages/{next(self._numbers)}"})


def _error(words: str, after: float = 0.0) -> Answer:
    code, _, field = words.partition(" ")
    status, name = STATUSES.get(code, (500, "INTERNAL"))
    details: list[dict[str, Any]] = [{"@type": DETAIL, "errorCode": code}]
    if field:
        details.append({"@type": VIOLATION, "fieldViolations": [{"field": field, "description": "wrong"}]})
    error = {"code": status, "status": name, "message": "refused by the sandbox", "details": details}
    return Answer({"error": error}, status=status, headers={"Retry-After": f"{after:g}"} if after else {})

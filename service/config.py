"""Settings: one frozen class read once from the environment; a bad value stops the start.

The name of a setting's variable is its field name in capitals. `docs/operations.md` lists them all; a test
compares that page with this class.
"""

import os
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from service import sealing
from service.spelling import are_networks, are_paces, are_templates, is_account, is_guarded, listed, spells_keys

PRODUCTION_WECHAT = "https://api.weixin.qq.com"
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
NODE = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s@:,/\[\]]+):[0-9]{1,5}"
VALKEY_URL = re.compile(rf"(?:rediss?|unix)://.*|rediss?\+cluster://(?:[^\s@]*@)?{NODE}(?:,{NODE})*/?")

ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[^\s/*,:@\[\]]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.I)
AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
# The default grace of a stream, and what an ending gateway needs besides: an overlap, good-byes and the last stays.
RESTART_GRACE_SECONDS = 10.0 + 8.0


class ConfigError(ValueError):
    """One or more settings cannot be used; the message names each with its reason."""


def setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


def secret(default: Any, doc: str) -> Any:
    """A setting that no log and no traceback may show."""
    return field(default=default, metadata={"doc": doc}, repr=False)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of every process. Seconds are seconds, bytes are bytes."""

    database_url: str = secret("", "PostgreSQL, as postgresql://user:password@host/name. Required.")
    redis_url: str = secret(
        "",
        "Valkey, as redis://host:port/0 or unix:///path; a cluster as redis+cluster://host:port,host:port. Required.",
    )
    secret_key: str = secret("", "Signs tokens, at least 32 characters; the same on every process. Required.")
    previous_secret_key: str = secret("", "The key before the last change; still accepted, never used to sign.")
    identity_keys: str = secret(
        "",
        "Keys of phone and identity numbers, as id:suite:base64 by commas; suite aes256 or sm4, 32 random bytes each. "
        "The first seals, all open. Empty: SECRET_KEY.",
    )
    certificate_secret: str = secret(
        "", "Certificates of activity are signed with a key derived from it, at least 32 characters. Empty: SECRET_KEY."
    )
    certificate_seconds: int = setting(600, "Life of a certificate of activity.")
    audit_key: str = secret(
        "", "Makes the audit log's pseudonyms and links, at least 32 characters; empty: made from SECRET_KEY."
    )
    previous_audit_key: str = secret("", "The audit log's key before the last change; still accepted.")
    audit_signing_key_file: str = setting(
        "", "PEM file with the worker's Ed25519 key for the audit log's anchors; empty: a key made from AUDIT_KEY."
    )
    audit_retention_days: int = setting(366, "How long entries of the audit log are kept; at least 184.")
    named_days: int = setting(
        1096, "How long an activity's rows lead to their members; who left, and what ended, is removed after as long."
    )
    data_dir: str = setting(".chunshui", "Where the embedded PostgreSQL and Valkey keep their data.")
    default_language: str = setting("zh", "zh or en: language of texts where the client asks for none.")
    log_level: str = setting("info", "debug, info, warning or error.")
    metrics_token: str = secret(
        "", "Who brings it as a bearer token may read /metrics, at least 16 characters; empty: nobody may."
    )

    web_host: str = setting("127.0.0.1", "Address that the web process listens on.")
    web_port: int = setting(8000, "Port of the web process.")
    web_workers: int = setting(1, "Worker processes of web.")
    web_url: str = setting("", "Public address of the web process; empty: taken from each request.")
    worker_host: str = setting("127.0.0.1", "Address that the worker tells its health and metrics on.")
    worker_port: int = setting(8003, "Port of the same; each worker of one machine needs its own.")
    gateway_host: str = setting("127.0.0.1", "Address that the gateway listens on.")
    gateway_port: int = setting(8001, "Port of the gateway.")
    gateway_workers: int = setting(2, "Worker processes of the gateway; one holds some 18,000 connections.")
    gateway_url: str = setting("", "Public address of the gateway; empty: the request's host with GATEWAY_PORT.")
    trusted_proxies: int = setting(0, "How many proxies in front of web set X-Forwarded-*.")

    access_token_seconds: int = setting(86_400, "Life of an access token; shortened by up to a tenth at random.")
    refresh_token_days: int = setting(30, "Life of a refresh token; each use replaces it.")
    organiser_session_hours: int = setting(12, "Life of an organiser's session, however much it is used.")
    organiser_idle_seconds: int = setting(1800, "An organiser's session that is not used this long ends.")
    second_factor_required: bool = setting(
        True, "Whether every account needs a second factor; those with an administrator's office always do."
    )
    oidc_issuer: str = setting(
        "", "Issuer of the identity provider (OpenID Connect) through which linked accounts may log in; empty: none."
    )
    oidc_client_id: str = setting(
        "", "Our client's id there; WEB_URL with /api/v1/organisers/oidc/callback comes back."
    )
    oidc_client_secret: str = secret("", "Our client's secret there.")
    oidc_name: str = setting("", "What the log-in page calls it; empty: single sign-on.")
    oidc_acr: str = setting(
        "", "Classes (acr) that stand for two factors there, by commas: asked for, and one must be told."
    )
    oidc_amr: str = setting("", "Methods (amr) that stand for two factors there, by commas: one must be told.")
    oidc_timeout_seconds: float = setting(2.0, "Patience with the identity provider, for each call.")
    account_requests_per_minute: int = setting(120, "Requests that write, of one member or organiser.")
    network_logins_per_minute: int = setting(
        6000, "Members' log-ins and refreshes from one address (IPv6: one /64); a carrier's has tens of thousands."
    )
    network_passwords_per_minute: int = setting(
        60, "Passwords, recovery codes and client secrets that one address may try."
    )
    limits_exempt: str = setting(
        "127.0.0.0/8,::1/128", "Networks that are never limited by address, by commas: rehearsals, and proxies unseen."
    )
    deny_refresh_seconds: float = setting(5.0, "How often the gateway reloads the deny list and the streams.")

    lease_seconds: float = setting(5.0, "A gateway that is silent this long loses its members from the count.")
    renew_seconds: float = setting(1.0, "How often a gateway renews its leases.")
    flush_seconds: float = setting(0.1, "Joins and leaves wait at most this long for their batch.")
    valkey_timeout_seconds: float = setting(1.0, "A flush that takes longer is given up and sent again.")
    live_shards: int = setting(1, "Slots of Valkey that the members of a stream planned from now on are spread over.")
    count_seconds: float = setting(10.0, "Shortest interval at which viewers are sent the count.")
    count_max_seconds: float = setting(120.0, "Longest such interval, under load.")
    feed_seconds: float = setting(0.5, "How often the organisers' feed reads the count.")
    ping_interval_seconds: float = setting(25.0, "Shortest Engine.IO ping interval.")
    ping_interval_max_seconds: float = setting(
        60.0, "Longest ping interval, under load; a client keeps the one that it was told."
    )
    ping_timeout_seconds: float = setting(20.0, "A client that answers no ping for this long is cut off.")
    handshake_seconds: float = setting(20.0, "A connection must have opened a session within this time.")
    messages_per_second: float = setting(
        500.0, "Pings, and counts, that a gateway worker sends a second before their intervals grow."
    )
    admission_lag_seconds: float = setting(
        1.0, "A gateway worker whose loop is later than this lets newcomers in at a bounded rate."
    )
    gateway_origins: str = setting(
        "*", "Origins of pages that may open members' sockets, by commas: *, null, https://host, https://*.host."
    )
    gateway_origin_required: bool = setting(False, "Whether who sends no Origin is refused; applications send none.")
    gateway_proxies: str = setting(
        "127.0.0.0/8,::1/128",
        "Networks of the proxies before the gateway, by commas; only they are believed whom they forward.",
    )
    gateway_client_header: str = setting(
        "X-Forwarded-For", "X-Forwarded-For or Forwarded: the header that those proxies set."
    )
    address_connections: int = setting(
        20_000,
        "Connections that one address (IPv6: one /64) may have, shared out among the workers; 0: any number.",
    )
    member_connections: int = setting(5, "Connections of one member on one worker; one more closes the oldest.")
    gateway_memory_mib: int = setting(
        0, "MiB that a gateway worker may have resident; 0: its share of half of what the machine or container has."
    )
    restart_spread_seconds: float = setting(2.0, "A gateway that ends sends its clients away over this time.")
    restart_seconds: int = setting(20, "Time in which an ending gateway must be done; longer than spread + grace.")
    send_buffer_bytes: int = setting(65_536, "A reader that lets more than this pile up is cut off.")
    max_message_bytes: int = setting(8_192, "A client message larger than this closes its connection.")
    stay_batch_seconds: float = setting(0.5, "Stays are written at least this often.")
    stay_buffer: int = setting(200_000, "Closed stays kept while PostgreSQL is away, per gateway worker.")
    stay_silence_seconds: float = setting(15.0, "A gateway unheard in PostgreSQL this long has its stays closed.")
    curve_seconds: float = setting(5.0, "Spacing of the recorded curve's points.")
    audit_seconds: float = setting(30.0, "How often gateways show whom they hold, and the worker audits the count.")

    wechat_api_url: str = setting(PRODUCTION_WECHAT, "Base address of WeChat's server API.")
    wechat_appid: str = setting("", "The mini-program's appid.")
    wechat_secret: str = secret("", "The mini-program's secret.")
    wechat_account_appid: str = setting("", "The Official Account's appid; empty: no log-in from its pages.")
    wechat_account_secret: str = secret("", "The Official Account's secret.")
    wechat_mobile_appid: str = setting("", "The Android and iOS apps' appid of the Open Platform; empty: no log-in.")
    wechat_mobile_secret: str = secret("", "The apps' secret.")
    wechat_callback_token: str = secret("", "Token of the mini-program's message push; empty: no such door.")
    wechat_callback_key: str = secret("", "EncodingAESKey of the same, 43 characters; secure mode only.")
    wechat_account_callback_token: str = secret("", "Token of the Official Account's message push.")
    wechat_account_callback_key: str = secret("", "EncodingAESKey of the same.")
    wechat_timeout_seconds: float = setting(3.0, "Patience with WeChat.")

    wechat_message_state: str = setting("formal", "Which mini-program a message opens: developer, trial or formal.")
    wechat_templates: str = setting(
        "", "JSON: for each kind of notice its template and the fact of each field (docs/notices.md)."
    )
    wechat_account_templates: str = setting("", "The same for template messages of the Official Account.")
    channel_paces: str = setting(
        "", 'JSON: what providers bear where it is not as usual: {"jpush": {"per_second": 100, "per_day": 0}}.'
    )
    apns_url: str = setting("https://api.push.apple.com", "Apple's push service; api.sandbox… for development builds.")
    apns_key: str = secret("", "The provider's signing key, PEM as in the .p8 file; empty: no such channel.")
    apns_key_id: str = setting("", "Id of that key.")
    apns_team: str = setting("", "Id of the developer team.")
    apns_topic: str = setting("", "Bundle id of the app.")
    fcm_account: str = secret("", "JSON of a Firebase service account; empty: no such channel.")
    fcm_legal_basis: str = setting("", "Where the legal basis for what FCM takes abroad is recorded; FCM needs one.")
    fcm_url: str = setting("https://fcm.googleapis.com", "Base address of FCM.")
    jpush_url: str = setting("https://api.jpush.cn", "Base address of JPush.")
    jpush_app_key: str = setting("", "JPush's key of the app; empty: no such channel.")
    jpush_master_secret: str = secret("", "JPush's master secret of the app.")
    jpush_apns_production: bool = setting(True, "Whether JPush sends to Apple's production environment.")
    sms_url: str = setting("", "Gateway of text messages (docs/channels.md); empty: no such channel.")
    sms_secret: str = secret("", "Secret shared with the gateway, whsec_…, by Standard Webhooks.")

    webhook_private_addresses: bool = setting(False, "Whether webhooks may go to private addresses (tests, demo).")
    webhook_timeout_seconds: float = setting(15.0, "Patience with a webhook's receiver.")
    webhook_retry_seconds: float = setting(5.0, "First pause after a failed delivery; doubles up to six hours.")
    demo: bool = setting(False, "Opens the demo's doors: guests without a roster. Never in production.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Config":
        """The settings in `environ` (the process's by default); ConfigError names every bad one."""
        environ = os.environ if environ is None else environ
        values, wrong = {}, []
        hidden = {one.name for one in fields(cls) if not one.repr}
        for name, kind in typing.get_type_hints(cls).items():
            try:
                text = _told(name.upper(), environ, by_file=name in hidden)
            except OSError as error:
                wrong.append(f"{name.upper()}_FILE: {error.strerror}")
                continue
            if not text:
                continue
            try:
                values[name] = READERS[kind](text)
            except ValueError as error:
                wrong.append(f"{name.upper()}: {error}")
        if wrong:
            raise ConfigError("; ".join(wrong))
        config = cls(**values)
        config.check()
        return config

    def check(self) -> None:
        """Raise ConfigError if the settings cannot work together."""
        wrong = [message for broken, message in self._checks() if broken]
        if wrong:
            raise ConfigError("; ".join(wrong))

    def _checks(self) -> list[tuple[bool, str]]:
        ends = ("_seconds", "_bytes", "_workers", "_days", "_hours", "_minute")
        positive = [f.name for f in fields(self) if f.name.endswith(ends)]
        ports = ("web_port", "gateway_port", "worker_port")
        return [
            (not self.database_url.startswith("postgresql"), "DATABASE_URL: needs postgresql://…"),
            (not VALKEY_URL.fullmatch(self.redis_url), "REDIS_URL: needs redis://… or redis+cluster://host:port,…"),
            (len(self.secret_key) < 32, "SECRET_KEY: at least 32 characters"),
            (
                bool(self.identity_keys) and not spells_keys(self.identity_keys),
                "IDENTITY_KEYS: needs id:suite:base64 by commas, each id once, aes256 or sm4, 32 bytes at least",
            ),
            (0 < len(self.certificate_secret) < 32, "CERTIFICATE_SECRET: at least 32 characters"),
            (0 < len(self.audit_key) < 32, "AUDIT_KEY: at least 32 characters"),
            (self.audit_retention_days < 184, "AUDIT_RETENTION_DAYS: at least 184, half a year"),
            (0 < len(self.metrics_token) < 16, "METRICS_TOKEN: at least 16 characters"),
            (self.default_language not in ("zh", "en"), "DEFAULT_LANGUAGE: zh or en"),
            (self.log_level not in ("debug", "info", "warning", "error"), "LOG_LEVEL: debug … error"),
            *((getattr(self, name) <= 0, f"{name.upper()}: must be above 0") for name in positive),
            *((not 0 < getattr(self, name) < 65_536, f"{name.upper()}: 1 to 65535") for name in ports),
            (self.lease_seconds < 3 * self.renew_seconds, "LEASE_SECONDS: at least 3 × RENEW_SECONDS"),
            (not are_networks(self.limits_exempt), "LIMITS_EXEMPT: needs networks such as 10.0.0.0/8"),
            (not 1 <= self.live_shards <= 64, "LIVE_SHARDS: 1 to 64"),
            *self._gateway_checks(),
            *(self._provider_checks() if self.oidc_issuer else ()),
            *self._channel_checks(),
            (self.flush_seconds > self.renew_seconds, "FLUSH_SECONDS: at most RENEW_SECONDS"),
            (self.demo and self.wechat_api_url == PRODUCTION_WECHAT, "DEMO: never with the real WeChat"),
        ]

    def _channel_checks(self) -> list[tuple[bool, str]]:
        keys = {name: getattr(self, name) for name in ("wechat_callback_key", "wechat_account_callback_key")}
        apple = (self.apns_key, self.apns_key_id, self.apns_team, self.apns_topic)
        return [
            *(
                (bool(value) and not AES_KEY.fullmatch(value), f"{name.upper()}: 43 characters of base64")
                for name, value in keys.items()
            ),
            (self.wechat_message_state not in ("developer", "trial", "formal"), "WECHAT_MESSAGE_STATE: developer, …"),
            (not are_templates(self.wechat_templates), "WECHAT_TEMPLATES: JSON of {kind: {id, fields}}"),
            (not are_templates(self.wechat_account_templates), "WECHAT_ACCOUNT_TEMPLATES: as WECHAT_TEMPLATES"),
            (not are_paces(self.channel_paces), "CHANNEL_PACES: JSON of {channel: {per_second, per_day}}"),
            (any(apple) and not all(apple), "APNS_KEY: needs APNS_KEY_ID, APNS_TEAM and APNS_TOPIC beside it"),
            (bool(self.fcm_account) and not self.fcm_legal_basis, "FCM_ACCOUNT: needs FCM_LEGAL_BASIS beside it"),
            (bool(self.fcm_account) and not is_account(self.fcm_account), "FCM_ACCOUNT: JSON of a service account"),
            (bool(self.jpush_app_key) != bool(self.jpush_master_secret), "JPUSH_APP_KEY: needs JPUSH_MASTER_SECRET"),
            (
                bool(self.sms_url) != self.sms_secret.startswith("whsec_"),
                "SMS_URL: needs SMS_SECRET beside it, whsec_ and base64",
            ),
        ]

    def _provider_checks(self) -> list[tuple[bool, str]]:
        demands = bool(listed(self.oidc_acr) or listed(self.oidc_amr))
        return [
            (not is_guarded(self.oidc_issuer), "OIDC_ISSUER: needs https://…, or http:// of this machine"),
            (
                not (self.oidc_client_id and self.oidc_client_secret),
                "OIDC_ISSUER: needs OIDC_CLIENT_ID and OIDC_CLIENT_SECRET",
            ),
            (not self.web_url, "OIDC_ISSUER: needs WEB_URL, to which the provider sends people back"),
            (
                self.second_factor_required and not demands,
                "OIDC_ISSUER: SECOND_FACTOR_REQUIRED needs OIDC_ACR or OIDC_AMR, which tell of two factors there",
            ),
        ]

    def _gateway_checks(self) -> list[tuple[bool, str]]:
        origins = [one.strip() for one in self.gateway_origins.split(",")]
        needed = self.restart_spread_seconds + RESTART_GRACE_SECONDS
        return [
            (not all(map(ORIGIN.fullmatch, origins)), "GATEWAY_ORIGINS: needs *, null, https://host or https://*.host"),
            (not are_networks(self.gateway_proxies), "GATEWAY_PROXIES: needs networks such as 10.0.0.0/8"),
            (
                self.gateway_client_header.lower() not in ("x-forwarded-for", "forwarded"),
                "GATEWAY_CLIENT_HEADER: X-Forwarded-For or Forwarded",
            ),
            (self.address_connections < 0, "ADDRESS_CONNECTIONS: 0 or more"),
            (self.member_connections < 1, "MEMBER_CONNECTIONS: at least 1"),
            (self.gateway_memory_mib < 0, "GATEWAY_MEMORY_MIB: 0 or more"),
            (self.messages_per_second <= 0, "MESSAGES_PER_SECOND: must be above 0"),
            (
                self.restart_seconds < needed,
                f"RESTART_SECONDS: at least {RESTART_GRACE_SECONDS:g} more than RESTART_SPREAD_SECONDS",
            ),
        ]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys that a token may be signed with; the first one signs."""
        return (self.secret_key, self.previous_secret_key) if self.previous_secret_key else (self.secret_key,)

    @property
    def keyring(self) -> sealing.Keyring:
        """The keys of phone and identity numbers."""
        return sealing.of_setting(self.identity_keys) if self.identity_keys else sealing.of_secrets(self.secrets)

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """What the keys of certificates are derived from; the first one signs."""
        return (self.certificate_secret,) if self.certificate_secret else self.secrets

    @property
    def audit_secrets(self) -> tuple[str, ...]:
        """What the audit log's keys may have been made from; the first one is the current one."""
        return tuple(filter(None, (self.audit_key, self.previous_audit_key, *self.secrets)))

    @property
    def sqlalchemy_url(self) -> str:
        """`database_url` with the driver named, as SQLAlchemy wants it."""
        return "postgresql+psycopg://" + self.database_url.split("://", 1)[1]


def _told(name: str, environ: Mapping[str, str], *, by_file: bool) -> str:
    """What the environment says of a setting; of a secret it may say the file that holds it, in NAME_FILE."""
    text = environ.get(name, "").strip()
    file = environ.get(f"{name}_FILE", "").strip() if by_file else ""
    if text and file:
        raise OSError(0, f"{name} is set too")
    return Path(file).read_text().strip() if file else text


def _switch(text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _number(text: str) -> float:
    value = float(text) if text.replace(".", "", 1).isdigit() else None
    if value is None:
        raise ValueError("a number")
    return value


READERS: dict[type, Callable[[str], Any]] = {str: str, int: _integer, float: _number, bool: _switch}

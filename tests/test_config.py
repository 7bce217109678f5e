"""Settings: read strictly, refused together, never silently defaulted."""

import base64
from pathlib import Path

import pytest

from service.config import Config, ConfigError

GOOD = {"DATABASE_URL": "postgresql://db/chunshui", "REDIS_URL": "redis://valkey", "SECRET_KEY": "k" * 32}


def test_reads_every_kind() -> None:
    config = Config.from_env(GOOD | {"WEB_PORT": "9000", "LEASE_SECONDS": "7.5", "DEFAULT_LANGUAGE": "en"})
    assert (config.web_port, config.lease_seconds, config.default_language) == (9000, 7.5, "en")
    assert config.sqlalchemy_url == "postgresql+psycopg://db/chunshui"


@pytest.mark.parametrize("url", ["redis+cluster://a:1", "rediss+cluster://me:p%40s@a.example:1,[::1]:2/"])
def test_accepts_a_cluster(url: str) -> None:
    assert Config.from_env(GOOD | {"REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("REDIS_URL", "http://x"),
        ("REDIS_URL", "redis+cluster://valkey"),
        ("REDIS_URL", "redis+cluster://a:1,b"),
        ("REDIS_URL", "redis+cluster://a:1/2"),
        ("SECRET_KEY", "short"),
        ("WEB_PORT", "eighty"),
        ("WEB_PORT", "70000"),
        ("LEASE_SECONDS", "-1"),
        ("LEASE_SECONDS", "2"),
        ("LEASE_SECONDS", "nan"),
        ("DEMO", "maybe"),
        ("DEMO", "true"),
        ("DEFAULT_LANGUAGE", "fr"),
        ("FLUSH_SECONDS", "3"),
        ("GATEWAY_WORKERS", "0"),
        ("IDENTITY_KEYS", "2026:aes256:c2hvcnQ="),
        ("CERTIFICATE_SECRET", "short"),
        ("SECRET_KEY_FILE", "/both/said"),
        ("METRICS_TOKEN_FILE", "/no/such/file"),
    ],
)
def test_refuses_a_bad_value_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.from_env(GOOD | {name: value})


def test_names_all_bad_values_at_once() -> None:
    with pytest.raises(ConfigError, match=r"DATABASE_URL.*REDIS_URL.*SECRET_KEY"):
        Config.from_env({})


def test_accepts_the_key_before_the_last_change() -> None:
    config = Config.from_env(GOOD | {"PREVIOUS_SECRET_KEY": "p" * 32})
    assert config.secrets == ("k" * 32, "p" * 32)


def test_a_secret_may_lie_in_a_file_and_nothing_else_may(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("f" * 32 + "\n")
    told = {name: value for name, value in GOOD.items() if name != "SECRET_KEY"}
    assert Config.from_env(told | {"SECRET_KEY_FILE": str(file)}).secret_key == "f" * 32
    assert Config.from_env(GOOD | {"DATA_DIR_FILE": str(file)}).data_dir == ".chunshui"


def test_numbers_have_keys_of_their_own_or_the_secret_keys() -> None:
    material = base64.b64encode(bytes(32)).decode()
    own = Config.from_env(GOOD | {"IDENTITY_KEYS": f"2026:sm4:{material}"})
    assert [key.id for key in own.keyring.keys] == ["2026"]
    assert material not in repr(own)
    assert len(Config.from_env(GOOD | {"PREVIOUS_SECRET_KEY": "p" * 32}).keyring.keys) == 2


PROVIDER = {
    "OIDC_ISSUER": "https://idp.example",
    "OIDC_CLIENT_ID": "chunshui",
    "OIDC_CLIENT_SECRET": "x",
    "OIDC_AMR": "mfa",
    "WEB_URL": "https://console.example.org",
}


@pytest.mark.parametrize(
    "change",
    [
        {"OIDC_ISSUER": "http://idp.example"},
        {"OIDC_ISSUER": "idp.example"},
        {"OIDC_ISSUER": "https://"},
        {"OIDC_ISSUER": "https://[x"},
        {"OIDC_CLIENT_ID": ""},
        {"OIDC_CLIENT_SECRET": ""},
        {"WEB_URL": ""},
        {"OIDC_AMR": " , "},
    ],
)
def test_an_identity_provider_needs_its_settings(change: dict[str, str]) -> None:
    assert Config.from_env(GOOD | PROVIDER).oidc_issuer == "https://idp.example"
    assert Config.from_env(GOOD | PROVIDER | {"OIDC_ISSUER": "http://127.0.0.1:8080", "OIDC_AMR": "", "OIDC_ACR": "2"})
    assert Config.from_env(GOOD | PROVIDER | {"OIDC_AMR": "", "SECOND_FACTOR_REQUIRED": "false"})
    with pytest.raises(ConfigError, match="OIDC_ISSUER"):
        Config.from_env(GOOD | PROVIDER | change)

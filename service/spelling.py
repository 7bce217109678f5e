"""What the text of a setting spells: lists, networks, keys, addresses."""

import json
from ipaddress import ip_network
from urllib.parse import urlsplit

from service import sealing


def listed(text: str) -> list[str]:
    """What a setting lists by commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def is_guarded(address: str) -> bool:
    """Whether what is sent to `address` is read by nobody else: over TLS, or within this machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    own = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or own)


def spells_keys(text: str) -> bool:
    """Whether this is a keyring, as `service.sealing` reads it."""
    try:
        sealing.of_setting(text)
    except ValueError:
        return False
    return True


def is_account(text: str) -> bool:
    """Whether this is the JSON of a service account."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    needed = ("project_id", "private_key", "client_email", "token_uri")
    return isinstance(found, dict) and all(isinstance(found.get(name), str) for name in needed)


def are_paces(text: str) -> bool:
    """Whether the notify room can read it: for each channel how many a second and, 0 for any number, a day."""
    try:
        paces = [(one["per_second"], one["per_day"]) for one in json.loads(text or "{}").values()]
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    return all(isinstance(n, int) for pace in paces for n in pace) and all(a > 0 <= b for a, b in paces)


def are_templates(text: str) -> bool:
    """Whether the notify room can read it: kinds, each with a template's id and what fills its fields."""
    try:
        kinds = json.loads(text or "{}").values()
        return all(isinstance(one["id"], str) and one["fields"].keys() for one in kinds)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def are_networks(text: str) -> bool:
    """Whether these are networks, by commas."""
    try:
        return all(ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError:
        return False

"""Every door of the web process, as a test that walks them needs it."""

import re
from typing import NamedTuple

from flask import Flask

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class Door(NamedTuple):
    """A method and a path that leads to a view; numbers in it are of nothing that exists."""

    method: str
    path: str
    endpoint: str
    authentication: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def doors(app: Flask, *methods: str) -> list[Door]:
    """The doors of `app` with one of `methods`, by default with any."""
    return [
        Door(method, re.sub(r"<[^>]+>", "999999", rule.rule), rule.endpoint, authentication(app, rule.endpoint))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if method in (methods or ("GET", *UNSAFE))
    ]


def authentication(app: Flask, endpoint: str) -> str:
    """Who may come through, as the view declares it."""
    return str(getattr(app.view_functions[endpoint], "authentication", "public"))

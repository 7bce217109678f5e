"""Conventions that are tests, not wishes."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from apiflask import APIFlask

from service.config import Config
from service.errors import ERRORS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("audit", "notify", "org", "activity", "live", "checkin")
COMPOSERS = {
    "account_commands", "app", "auditing", "cli", "demo", "duties", "founding", "reckoning", "registers", "rehearsing",
    "rights", "terminal", "watching",
}  # fmt: skip


def sources() -> Iterator[Path]:
    return (path for path in (ROOT / "service").rglob("*.py") if "versions" not in path.parts)


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "service" and parts[1] in ROOMS else None


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_from_their_left(path: Path) -> None:
    parts = path.relative_to(ROOT / "service").parts
    found = {room for module in imported(path) if (room := room_of(module))}
    if parts[0] in ROOMS:
        allowed = set(ROOMS[: ROOMS.index(parts[0]) + 1])
    elif path.stem in COMPOSERS:
        allowed = set(ROOMS)
    else:
        allowed = set()
    assert found <= allowed


def test_rules_know_neither_request_nor_socket() -> None:
    doors = {"views.py", "events.py", "access.py", "feed.py"}
    for room in ROOMS:
        for path in (ROOT / "service" / room).rglob("*.py"):
            if path.name not in doors:
                names = set(imported(path))
                assert not names & {"flask.request", "flask_socketio.emit"}, path


def test_every_route_declares_who_may_call_it(app: APIFlask) -> None:
    own = [name for name in app.view_functions if name not in ("static",) and not name.startswith("openapi.")]
    undeclared = [name for name in own if not hasattr(app.view_functions[name], "authentication")]
    assert not undeclared


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [f.name.upper() for f in fields(Config) if f"`{f.name.upper()}`" not in page] == []
    assert all(f.metadata.get("doc") for f in fields(Config))


def test_every_error_code_is_documented_and_used() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    assert [code for code in ERRORS if f"`{code}`" not in page] == []
    text = "\n".join(path.read_text() for path in sources())
    assert [code for code in ERRORS if text.count(f'"{code}"') < 2] == []


def test_migrations_are_linear() -> None:
    versions = sorted((ROOT / "service" / "migrations" / "versions").glob("*.py"))
    previous = None
    for path in versions:
        found = dict(re.findall(r'^(revision|down_revision) = (?:"(\w+)"|None)', path.read_text(), re.M))
        assert (found["down_revision"] or None) == previous
        previous = found["revision"]


def test_models_and_migrations_agree(app: APIFlask) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from service.extensions import db

    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


def test_no_file_names_a_registry_or_this_machine() -> None:
    import subprocess

    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    hosts = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "npm" + "mirror.com"]
    for name in names:
        data = (ROOT / name).read_bytes()
        assert not [host for host in hosts if host.encode() in data], name


def test_every_rule_of_check_in_names_tests_that_exist() -> None:
    """In tables with "shown by": `file: test, test; file: test`, below tests/checkin or by its path, or only a path."""
    rows = re.findall(r"^\|(?!-)[^|]+\|([^|]+)\|$", (ROOT / "docs" / "check-in.md").read_text(), re.M)
    tests = re.compile(r"([\w/.]+): (`test_\w+`(?:, `test_\w+`)*)")
    shown = [row for row in rows if "test_" in row]
    assert len(shown) > 80
    for row in shown:
        rest = re.sub(r"`tests/[\w/.]+`", "", tests.sub("", row))
        assert not rest.strip(" ;"), rest
        for file, named in tests.findall(row):
            folder = ROOT if file.startswith("tests/") else ROOT / "tests" / "checkin"
            text = (folder / f"{file.removesuffix('.py')}.py").read_text()
            assert [name for name in re.findall(r"\w+", named) if f"def {name}(" not in text] == []

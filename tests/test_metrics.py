"""Metrics: told in full by the manual, bounded in their labels, asked for as the alarms ask."""

import re
from pathlib import Path

import pytest
from apiflask import APIFlask
from prometheus_client import Metric

from service.app import create_app
from service.duties import duties
from service.live.metering import Numbers
from service.metrics import Board, Running
from service.working import Crew

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")
# What may tell series of one metric apart: none names a person, and each has few values.
LABELS = {"process", "version", "python", "reason", "route", "method", "status", "task", "fate", "stream"}


@pytest.fixture
def families(app: APIFlask) -> list[tuple[str, Metric]]:
    gateway, worker = Board("gateway"), Board("worker")
    Numbers(gateway)
    Crew(duties(app, worker), worker)
    web: Board = app.extensions["traffic"].board
    boards = (("web", web), ("gateway", gateway), ("worker", worker))
    return [(process, family) for process, board in boards for family in board.registry.collect()]


def full_name(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def test_the_manual_lists_every_metric_with_its_kind_and_processes(families: list[tuple[str, Metric]]) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = {
        name: (kind, where) for name, kind, where in re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \|", page, re.M)
    }
    known: dict[str, tuple[str, str]] = {}
    for process, family in families:
        _, where = known.get(full_name(family), ("", ""))
        known[full_name(family)] = (family.type, f"{where}, {process}".strip(", "))
    assert told == known


def test_labels_are_few_and_name_nobody(families: list[tuple[str, Metric]]) -> None:
    found = {label for _, family in families for sample in family.samples for label in sample.labels}
    assert found - {"le"} <= LABELS
    declared = "\n".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    assert not re.search(r"labels=\[[^]]*(member|session|address|name)", declared)


def test_alarms_and_scrapes_ask_for_what_there_is(families: list[tuple[str, Metric]]) -> None:
    known = {family.name for _, family in families}
    for path in (ROOT / "deploy" / "prometheus").glob("*.yml"):
        asked = set(re.findall(r"\bchunshui_\w+", path.read_text()))
        assert {SUFFIXES.sub("", name) for name in asked} <= known, path
    assert "chunshui_" in (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()


def test_a_running_total_counts_each_event_once() -> None:
    board = Board("web")
    counter = board.counter("things", "Things.")
    running = Running(counter)
    for total in (3, 3, 2, 5):
        running.tell(total)
    assert board.registry.get_sample_value("chunshui_things_total") == 5


def test_an_application_has_metrics_of_its_own(app: APIFlask) -> None:
    other = create_app(app.config["CHUNSHUI"])
    assert other.extensions["traffic"].board is not app.extensions["traffic"].board
    other.extensions["valkey"].close()

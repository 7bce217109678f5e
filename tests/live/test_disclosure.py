"""What an organiser may learn of those outside of his part of the tree, whatever he asks for at one moment."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from service.activity.models import Activity, ActivityOrganiser
from service.errors import ServiceError
from service.live.disclosure import disclosed
from service.live.feed import shown
from service.live.figures import Snapshot
from service.live.models import CurveMinute
from service.live.nodes import View, view_of
from service.live.turnout import Sums, Turnout
from service.org.access import COOKIE
from service.org.models import Organisation
from service.org.organisers import Held, Organiser
from service.small_cells import THRESHOLD, Cell
from tests.factories import make_activity, make_division, make_organisation, make_organiser, make_place
from tests.test_small_cells import Tree, ranges

NOW = datetime(2026, 9, 20, 1, tzinfo=UTC)
TODAY = date(2026, 9, 20)
# Two provinces hold the day together; the second has two cities with counties and branches.
SHAPE = {
    "a": None, "a1": "a", "b": None, "b1": "b", "b2": "b", "b11": "b1", "b12": "b1", "b111": "b11", "b112": "b11",
    "b113": "b11", "b121": "b12", "b21": "b2", "b22": "b2",
}  # fmt: skip
LEVELS = ("province", "city", "county", "branch")
FIRST, SECOND = "54", "51"
ORGANISERS = ("a", "b1", "b12", "b113")


@dataclass
class Day:
    """The day of the two provinces."""

    nodes: dict[str, Organisation]
    activity: Activity
    stream: int
    views: dict[tuple[str, str | None, str | None], View]

    def counts(self, own: Mapping[str, int]) -> dict[str, int]:
        """Everybody at and below each node, of those whose home is the node itself."""
        return {
            name: sum(count for at, count in own.items() if at == name or at.startswith(name)) for name in self.nodes
        }

    def reading(self, own: Mapping[str, int], elsewhere: int, places: Mapping[str, int]) -> Snapshot:
        counts = self.counts(own)
        online = counts["a"] + counts["b"] + elsewhere
        return Snapshot(
            stream=self.stream, epoch="1", seq=1, as_of=NOW, reason=None, in_doubt=0, online=online, connections=online,
            joined=online, checked_in=0, peak=online, peak_at=None, channels={"h5": online}, sources={"hls": online},
            organisations={node.id: counts[name] for name, node in self.nodes.items()}, places=dict(places),
        )  # fmt: skip


def organiser_of(organisation: Organisation, *more: Organisation) -> Organiser:
    grants = tuple(Held("organiser", "activities", one.path) for one in (organisation, *more))
    return Organiser(1, "", organisation.id, organisation.name, organisation.path, grants=grants)


@pytest.fixture
def day(db: Session) -> Day:
    nodes: dict[str, Organisation] = {}
    for name, above in SHAPE.items():
        level = LEVELS[len(name) - 1]
        nodes[name] = make_organisation(name=name, level=level, parent=nodes[above] if above else None)
    make_place()
    make_division(SECOND)
    activity = make_activity(lead=nodes["a"])
    # Whoever looks must hold the activity in some tier; the highest are the two provinces.
    for position, name in enumerate(("b", "b1", "b12", "b113"), 1):
        activity.organisers.append(
            ActivityOrganiser(organisation_id=nodes[name].id, tier="assisting", position=position)
        )
    db.commit()
    stream = activity.sittings[0].streams[0].id
    views: dict[tuple[str, str | None, str | None], View] = {
        (who, node, None): view_of(
            organiser_of(nodes[who]), stream, today=TODAY, organisation=nodes[node].id if node else None
        )
        for who in ORGANISERS
        for node in (None, *nodes)
    }
    for place in ("54", "5401", "540102"):
        views["a", None, place] = view_of(organiser_of(nodes["a"]), stream, today=TODAY, place=place)
    return Day(nodes, activity, stream, views)


COUNTS = st.fixed_dictionaries({name: st.one_of(st.just(0), st.integers(0, 12), st.integers(0, 60)) for name in SHAPE})
REPEATED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)


def everything_told(day: Day, who: str, own: Mapping[str, int], elsewhere: int) -> dict[int, int]:
    """All that one organiser is told of organisations, in the answers to every question that he may ask.

    Everybody is online and has checked in, so that both must be told, or hidden, alike.
    """
    seen, ledger = day.reading(own, elsewhere, {}), counted(came(day, who, own, elsewhere))
    found: dict[int, int] = {}
    for (asker, _, place), view in day.views.items():
        if asker == who and place is None:
            told = shown(view, seen, ledger)
            for node in ([told["organisation"]] if told["organisation"] else []) + told["organisations"]:
                assert node["checked_in"] == node["online"]
                if node["online"] is not None:
                    assert found.setdefault(node["id"], node["online"]) == node["online"]
    return found


def counted(sums: Sums) -> Turnout:
    """What a reading of the ledger leaves."""
    return Turnout(Mock(), NOW, NOW, sums)


def came(day: Day, who: str, own: Mapping[str, int], elsewhere: int) -> Sums:
    """The same people, who have checked in, as `who` looks at them; all by the same method."""
    strangers = sum(count for at, count in own.items() if not at.startswith(who)) + elsewhere
    return Sums(
        homes=Counter({day.nodes[name].id: count for name, count in day.counts(own).items()}),
        methods=Counter(self=sum(own.values()) + elsewhere),
        others_methods=Counter(self=strangers),
    )


def outside(day: Day, who: str, own: Mapping[str, int], elsewhere: int) -> Tree:
    """The tree of those of other parts, who is nowhere below as a part of his own."""
    others = {at: count for at, count in own.items() if not at.startswith(who)}
    cells: Tree = {"": Cell(sum(others.values()) + elsewhere), "elsewhere": Cell(elsewhere, "")}
    for name, above in SHAPE.items():
        if not name.startswith(who):
            cells[name] = Cell(sum(n for at, n in others.items() if at.startswith(name)), above or "")
            cells[f"own {name}"] = Cell(others[name], name)
    return cells


@pytest.mark.parametrize("who", ORGANISERS)
def test_no_answers_together_give_a_small_cell_away(day: Day, who: str) -> None:
    """The attacker knows his own part, the total, and every figure of every view, and reasons exactly."""

    # Few of others, and many of one's own: where the few would be told.
    @example(dict.fromkeys(SHAPE, 0) | {"b": 4, who: 30}, 0)
    @REPEATED
    @given(COUNTS, st.integers(0, 30))
    def law(own: dict[str, int], elsewhere: int) -> None:
        told = everything_told(day, who, own, elsewhere)
        cells = outside(day, who, own, elsewhere)
        counts = day.counts(own)
        values: dict[str, int | None] = dict.fromkeys(cells)
        values[""] = cells[""].count
        for name, node in day.nodes.items():
            assert told.get(node.id, counts[name]) == counts[name]
            if name in cells and node.id in told:
                values[name] = cells[name].count
        known = ranges(cells, values)
        for name, cell in cells.items():
            if cell.small(THRESHOLD) and not name.startswith("own") and name:
                # Where the total itself leaves fewer, nobody is told more than the total tells.
                wide = min(THRESHOLD, cells[""].count)
                assert values[name] is None
                assert known[name][1] - known[name][0] >= wide or alone(cells, name), name

    law()


def alone(cells: Tree, name: str) -> bool:
    """Whether this is all that the total leaves, so that the total gives it away by itself."""
    return cells[name].count == cells[""].count and cells[""].count < THRESHOLD


@pytest.mark.parametrize("who", ORGANISERS)
def test_ones_own_part_is_exact(day: Day, who: str) -> None:
    @REPEATED
    @given(COUNTS, st.integers(0, 30))
    def law(own: dict[str, int], elsewhere: int) -> None:
        told = everything_told(day, who, own, elsewhere)
        for name, count in day.counts(own).items():
            if name.startswith(who):
                assert told[day.nodes[name].id] == count

    law()


@REPEATED
@given(own=COUNTS)
def test_whose_everybody_is_sees_all_of_it(day: Day, own: dict[str, int]) -> None:
    both = organiser_of(day.nodes["a"], day.nodes["b"])
    places = {"54": 3, "5401": 2, "540102": 1, SECOND: 0}
    seen = day.reading(own, 0, places)
    for place in (None, "5401"):
        view = view_of(both, day.stream, today=TODAY, organisation=day.nodes["b11"].id, place=place)
        told = disclosed(seen, view.outlook)
        assert (told.organisations, told.places) == (seen.organisations, seen.places)


@REPEATED
@given(own=COUNTS, counts=st.lists(st.integers(0, 30), min_size=4, max_size=4))
def test_places_hide_the_few_while_others_are_online(day: Day, own: dict[str, int], counts: list[int]) -> None:
    own = {**own, "b": own["b"] + 1}
    third, second, first, other = counts[0], sum(counts[:2]), sum(counts[:3]), counts[3]
    total = sum(own.values())
    elsewhere = max(0, first + other - total)
    places = {"54": first, "5401": second, "540102": third, SECOND: other}
    seen = day.reading(own, elsewhere, places)
    told: dict[str, int | None] = {}
    for place in (None, "54", "5401", "540102"):
        answer = shown(day.views["a", None, place], seen)
        for node in ([answer["place"]] if answer["place"] else []) + answer["places"]:
            assert told.setdefault(node["code"], node["online"]) == node["online"]
    cells: Tree = {
        "": Cell(seen.online), "54": Cell(first, ""), SECOND: Cell(other, ""), "5401": Cell(second, "54"),
        "540102": Cell(third, "5401"), "nowhere": Cell(seen.online - first - other, ""),
        "in 54": Cell(first - second, "54"), "in 5401": Cell(second - third, "5401"),
    }  # fmt: skip
    values = {name: told.get(name) for name in cells} | {"": seen.online}
    known = ranges(cells, values)
    for name, cell in cells.items():
        if cell.small(THRESHOLD) and name:
            assert values[name] is None
            assert known[name][1] - known[name][0] >= min(THRESHOLD, seen.online) or alone(cells, name), name


def test_channels_hide_the_few_too(day: Day) -> None:
    own = dict.fromkeys(SHAPE, 10)
    seen = day.reading(own, 0, {})
    few = Snapshot(**{name: getattr(seen, name) for name in seen.__slots__} | {"channels": {"h5": 125, "tv": 5}})
    assert shown(day.views["a", None, None], few)["channels"] == {"h5": None, "tv": None}
    both = view_of(organiser_of(day.nodes["a"], day.nodes["b"]), day.stream, today=TODAY)
    assert shown(both, few)["channels"] == {"h5": 125, "tv": 5}


FEW = st.lists(st.one_of(st.just(0), st.integers(0, 12), st.integers(0, 60)), min_size=4, max_size=4)


@REPEATED
@given(FEW, FEW)
def test_methods_and_places_of_the_few_are_hidden_though_ones_own_are_known(
    day: Day, mine: list[int], theirs: list[int]
) -> None:
    """Who looks knows how and where his own checked in, and takes them away from what he is told."""
    names, view = ("self", "group", "proxy", "paper"), day.views["a", None, None]
    both = Counter(dict(zip(names, map(sum, zip(mine, theirs, strict=True)), strict=True)))
    places = {"54": mine[0] + theirs[0], SECOND: mine[1] + theirs[1]}
    sums = Sums(
        places=Counter(places),
        methods=both,
        others_places=Counter({"54": theirs[0], SECOND: theirs[1]}),
        others_methods=Counter(dict(zip(names, theirs, strict=True))),
    )
    told = shown(view, None, counted(sums))
    there = {one["code"]: one["checked_in"] for one in told["places"]}
    methods = told["check_ins"]["methods"]
    assert told["check_ins"]["total"] == sum(mine) + sum(theirs)
    elsewhere = sum(theirs[2:])
    for shown_ones, others, rest in (
        (methods, dict(zip(names, theirs, strict=True)), 0),
        (there, {"54": theirs[0], SECOND: theirs[1]}, elsewhere),
    ):
        cells: Tree = {"": Cell(sum(theirs)), "rest": Cell(rest, "")}
        cells |= {name: Cell(count, "") for name, count in others.items()}
        values = {name: count if shown_ones[name] is not None else None for name, count in others.items()}
        known = ranges(cells, {"": sum(theirs), "rest": None, **values})
        for name, count in others.items():
            if shown_ones[name] is not None:
                assert shown_ones[name] == {**both, **places}[name]
            if cells[name].small(THRESHOLD) and count < sum(theirs):
                assert shown_ones[name] is None
                assert known[name][1] - known[name][0] >= min(THRESHOLD, sum(theirs))
        if not sum(theirs):
            assert None not in shown_ones.values()


def test_closed_organisations_are_not_listed(day: Day, db: Session) -> None:
    day.nodes["b22"].closed_on = TODAY
    day.nodes["b"].closed_on = TODAY
    db.commit()
    whose = organiser_of(day.nodes["a"], day.nodes["b2"])
    before = view_of(whose, day.stream, today=TODAY - timedelta(1), organisation=day.nodes["b2"].id)
    after = view_of(whose, day.stream, today=TODAY, organisation=day.nodes["b2"].id)
    assert [name for _, name in before.organisations] == ["b21", "b22"]
    assert [name for _, name in after.organisations] == ["b21"]
    assert "b" not in [name for _, name in view_of(whose, day.stream, today=TODAY).organisations]
    with pytest.raises(ServiceError):
        view_of(organiser_of(day.nodes["a"]), day.stream, today=TODAY, organisation=day.nodes["b22"].id)


class Curve:
    """A minute of the day; who asks is logged in."""

    def __init__(self, client: FlaskClient, db: Session, day: Day) -> None:
        self.client, self.day = client, day
        for minute, other in enumerate((0, 1)):
            homes = {"a": 20, "a1": 20, "b": other, "b1": other}
            counts = {str(day.nodes[name].id): count for name, count in homes.items() if count}
            at = NOW + timedelta(minutes=minute)
            db.add(CurveMinute(stream_id=day.stream, at=at, organisations=counts, places={"54": 20 + other}))
        db.commit()

    def points(self, who: str, **query: Any) -> Any:
        self.client.set_cookie(COOKIE, make_organiser(organisation=self.day.nodes[who])[1])
        answer = self.client.get(f"/api/v1/streams/{self.day.stream}/curve", query_string=query)
        assert answer.json is not None
        return [one["online"] for one in answer.json["points"]] if answer.status_code == 200 else answer.json["code"]


def test_curves_are_of_ones_own_part(client: FlaskClient, db: Session, day: Day) -> None:
    """Minutes side by side would tell who came; a place has a point while everybody is one's own."""
    curve = Curve(client, db, day)
    assert curve.points("a", organisation=day.nodes["a1"].id) == [20, 20]
    assert curve.points("a", organisation=day.nodes["b1"].id) == "not_found"
    assert curve.points("b1", organisation=day.nodes["b"].id) == "not_found"
    assert curve.points("a", place="54") == [20, None]
    assert curve.points("b113", place="54") == [None, None]

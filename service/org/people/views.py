"""REST doors of people: members as organisers see them, attachments, offices, certificates."""

from typing import Any

from apiflask import APIBlueprint
from flask import current_app, g

from service.auth import granted, member_required, public
from service.clock import now as read_clock
from service.config import Config
from service.errors import ServiceError
from service.extensions import db
from service.notify.notices import log
from service.notify.notices.schemas import FatesIn, FatesOut
from service.org import roster
from service.org.models import Member
from service.org.people import attachments, binding, certificates, members, offices, standings
from service.org.people.attachments import Wish
from service.org.people.models import Attachment, Office
from service.org.people.schemas import (
    AttachmentIn,
    AttachmentOut,
    AttachmentsOut,
    AttachmentsQuery,
    CertificateOut,
    KeysOut,
    OfficeEnd,
    OfficeIn,
    OfficeOut,
    OfficesOut,
    OfficesQuery,
    PersonEdit,
    PersonOut,
    ReceptionIn,
    StandingsOut,
)
from service.org.people.scope import branch_of, member_of
from service.scope import reason

bp = APIBlueprint("people", __name__, tag="People")

MEMBER = "/members/<int(max=9223372036854775807):member_id>"
ATTACHMENT = "/attachments/<int(max=9223372036854775807):attachment_id>"


@bp.get(MEMBER)
@granted("roster")
@bp.output(PersonOut)
def show(member_id: int) -> dict[str, Any]:
    """Show a member of the organiser's part of the tree

    Phone and identity number as their last four characters.
    """
    return members.shown(member_of(g.organiser, member_id))


@bp.get(f"{MEMBER}/notices")
@granted("roster")
@bp.input(FatesIn, location="query")
@bp.output(FatesOut)
def told(member_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List what a member was told, by which channel and with what fate, the newest first"""
    page = log.of_member(g.organiser, member_of(g.organiser, member_id).id, **query_data)
    return {"deliveries": page, "next": page[-1].id if len(page) == query_data["limit"] else None}


@bp.patch(MEMBER)
@granted("roster")
@bp.input(PersonEdit)
@bp.output(PersonOut)
def edit(member_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Correct a member's name, status, category, phone or identity number

    Status and category change from a day on. A member who has left is logged out everywhere.
    """
    edited = members.edit(member_of(g.organiser, member_id), json_data, read_clock())
    current_app.extensions["deny_list"].expire()
    return members.shown(edited)


@bp.get(f"{MEMBER}/standings")
@granted("roster")
@bp.output(StandingsOut)
def list_standings(member_id: int) -> dict[str, Any]:
    """List the changes of a member's status and category"""
    return {"standings": standings.of_member(member_of(g.organiser, member_id).id)}


@bp.get("/attachments")
@granted("roster")
@bp.input(AttachmentsQuery, location="query")
@bp.output(AttachmentsOut)
def list_attachments(query_data: dict[str, Any]) -> dict[str, Any]:
    """List attachments with a side in the organiser's part of the tree, the latest 500"""
    found = attachments.visible(g.organiser, on=query_data["on"], open_only=query_data["waiting"])
    return {"attachments": [attached(one) for one in found]}


@bp.post(f"{MEMBER}/attachments")
@granted("roster")
@bp.input(AttachmentIn)
@bp.output(AttachmentOut, status_code=201)
def propose(member_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Propose that a member stays with a receiving branch

    The home side confirms by this; it becomes active once the receiving side has confirmed too.
    """
    member = member_of(g.organiser, member_id)
    return attached(attachments.propose(member, Wish(**json_data), by="home", now=read_clock()))


@bp.post("/organisations/<int(max=9223372036854775807):number>/attachments")
@granted("roster")
@bp.input(ReceptionIn)
@bp.output(AttachmentOut, status_code=201)
def receive(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Propose to receive a member who shows a certificate of activity

    The receiving branch confirms by this; it becomes active once the home branch has confirmed too.
    """
    branch, now = branch_of(g.organiser, number), read_clock()
    config: Config = current_app.config["CHUNSHUI"]
    member = certificates.holder(json_data.pop("certificate"), secrets=config.signing_secrets, now=now)
    return attached(attachments.propose(member, Wish(organisation_id=branch.id, **json_data), by="receiving", now=now))


@bp.post("/me/attachments")
@member_required
@bp.input(AttachmentIn)
@bp.output(AttachmentOut, status_code=201)
def ask(json_data: dict[str, Any]) -> dict[str, Any]:
    """Ask to stay with a receiving branch

    It becomes active once the home branch and the receiving branch have confirmed it. Until the latter has, its name is
    not said: whoever tries numbers learns of no branch.
    """
    return own(attachments.propose(asking(), Wish(**json_data), by=None, now=read_clock()))


@bp.get("/me/attachments")
@member_required
@bp.output(AttachmentsOut)
def mine() -> dict[str, Any]:
    """List the member's own attachments"""
    return {"attachments": [own(one) for one in attachments.of_member(g.actor.member)]}


@bp.put(f"{ATTACHMENT}/confirmation")
@granted("roster")
@bp.output(AttachmentOut)
def confirm(attachment_id: int) -> dict[str, Any]:
    """Confirm an attachment for the side, or sides, that the organiser covers"""
    return attached(attachments.confirm(attachment_id, g.organiser, read_clock()))


@bp.delete(ATTACHMENT)
@granted("roster")
@bp.output(AttachmentOut)
def close(attachment_id: int) -> dict[str, Any]:
    """Decline an attachment, or end it as of today"""
    return attached(attachments.close(attachment_id, g.organiser, read_clock()))


@bp.get(f"{MEMBER}/offices")
@granted("roster")
@bp.input(OfficesQuery, location="query")
@bp.output(OfficesOut)
def list_offices(member_id: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """List a member's offices, held on a day or ever"""
    member = member_of(g.organiser, member_id)
    return {"offices": [held(one) for one in offices.of_member(member.id, query_data["on"])]}


@bp.post(f"{MEMBER}/offices")
@granted("roster")
@bp.input(OfficeIn)
@bp.output(OfficeOut, status_code=201)
def appoint(member_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Note an office that a member holds from a day on"""
    organisation = branch_of(g.organiser, json_data.pop("organisation_id"))
    return held(offices.appoint(member_of(g.organiser, member_id), organisation, **json_data))


@bp.patch(f"{MEMBER}/offices/<int(max=9223372036854775807):office_id>")
@granted("roster")
@bp.input(OfficeEnd)
@bp.output(OfficeOut)
def end_office(member_id: int, office_id: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Note that an office ends"""
    return held(offices.end(member_of(g.organiser, member_id), office_id, json_data["ends_on"]))


@bp.post("/me/certificate")
@member_required
@bp.output(CertificateOut, status_code=201)
def certify() -> dict[str, Any]:
    """Get a certificate of activity

    Good for minutes; another branch verifies it with the public key, without asking us.
    """
    member, facts = asking(), roster.member_facts(g.actor.member)
    if facts is None:
        raise ServiceError("token_invalid")
    config: Config = current_app.config["CHUNSHUI"]
    made = certificates.issue(
        facts, member.name, secret=config.signing_secrets[0], seconds=config.certificate_seconds, now=read_clock()
    )
    return {"token": made.token, "expires_at": made.expires_at, "qr": made.qr}


@bp.delete("/me/binding")
@member_required
@bp.output({}, status_code=204)
def unbind() -> str:
    """Unbind from WeChat

    Logs out everywhere; a new invitation or the phone number binds again.
    """
    binding.unbind(asking(), read_clock())
    current_app.extensions["deny_list"].expire()
    return ""


@bp.delete(f"{MEMBER}/binding")
@granted("roster")
@bp.output({}, status_code=204)
def unbind_member(member_id: int) -> str:
    """Unbind a member from WeChat, after a lost phone or a change of account"""
    binding.unbind(member_of(g.organiser, member_id), read_clock())
    current_app.extensions["deny_list"].expire()
    return ""


@bp.get("/certificates/keys")
@public
@bp.output(KeysOut)
def certificate_keys() -> dict[str, Any]:
    """The public keys of certificates, as a JWK set"""
    config: Config = current_app.config["CHUNSHUI"]
    return {"keys": [certificates.public_key(secret) for secret in config.signing_secrets]}


def asking() -> Member:
    """The member who asks."""
    found = db.session.get(Member, g.actor.member, execution_options=reason("the member who asks"))
    if found is None:
        raise ServiceError("token_invalid")
    return found


def attached(one: Attachment) -> dict[str, Any]:
    """An attachment as AttachmentOut wants it."""
    names = ("id", "member_id", "reason", "starts_on", "ends_on", "closed_on")
    times = ("home_confirmed_at", "receiving_confirmed_at")
    organisation = {"id": one.organisation_id, "name": one.organisation.name}
    return {"organisation": organisation, **{name: getattr(one, name) for name in names + times}}


def own(one: Attachment) -> dict[str, Any]:
    """The same as the member sees it."""
    shown = attached(one)
    return shown if one.receiving_confirmed_at else shown | {"organisation": {"id": one.organisation_id, "name": None}}


def held(office: Office) -> dict[str, Any]:
    """An office as OfficeOut wants it."""
    names = ("id", "title", "starts_on", "ends_on")
    organisation = {"id": office.organisation_id, "name": office.organisation.name}
    return {"organisation": organisation, **{name: getattr(office, name) for name in names}}

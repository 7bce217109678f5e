"""Shapes of the org room: what its doors take and give."""

from typing import Any

from apiflask import Schema
from marshmallow import ValidationError, fields, validate, validates_schema

from service.fields import Id, Line, Moment
from service.org.wechat import APPS


class LoginIn(Schema):
    """A log-in with WeChat's code, and at the first time an invitation or the code of the phone button."""

    app = fields.String(required=True, validate=validate.OneOf(APPS))
    code = Line(256, required=True)
    invitation = Line(64, load_default=None, allow_none=True)
    phone_code = Line(256, load_default=None, allow_none=True)

    @validates_schema
    def phones_are_the_mini_programs(self, data: dict[str, Any], **_: Any) -> None:
        """Only there is a phone button."""
        if data.get("phone_code") and data.get("app") != "mini_program":
            raise ValidationError("Only in the mini-program.", "phone_code")


class RefreshIn(Schema):
    """A refresh token."""

    refresh_token = Line(256, required=True)


class NodeOut(Schema):
    """An organisation by number and name."""

    id = Id()
    name = fields.String()


class PlaceOut(Schema):
    """A division by code and name."""

    code = fields.String()
    name = fields.String()


class MemberOut(Schema):
    """A member as he sees himself: number, home branch, present place."""

    id = Id()
    organisation = fields.Nested(NodeOut)
    place = fields.Nested(PlaceOut, allow_none=True)


class LoginOut(Schema):
    """Both tokens and the member they belong to."""

    access_token = fields.String()
    expires_in = fields.Integer(metadata={"description": "Seconds for which the access token is good at least."})
    refresh_token = fields.String()
    member = fields.Nested(MemberOut)


class MemberSessionOut(Schema):
    """A log-in in one app, until it ends."""

    id = Id()
    app = fields.String(validate=validate.OneOf(APPS))
    created_at = Moment()
    expires_at = Moment()
    current = fields.Boolean()


class MemberSessionsOut(Schema):
    """Log-ins, the latest first."""

    sessions = fields.List(fields.Nested(MemberSessionOut))


class GuestOut(Schema):
    """A stand-in for WeChat's code and an invitation for it."""

    code = fields.String()
    invitation = fields.String()

"""Shapes of the org room: what its doors take and give."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line


class LoginIn(Schema):
    """A log-in with a code of `wx.login`, and at the first time an invitation."""

    app = fields.String(required=True, validate=validate.OneOf(["mini_program"]))
    code = Line(256, required=True)
    invitation = Line(64, load_default=None, allow_none=True)


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


class GuestOut(Schema):
    """A stand-in for WeChat's code and an invitation for it."""

    code = fields.String()
    invitation = fields.String()

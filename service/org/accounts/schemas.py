"""Shapes of the accounts: what their doors take and give."""

from apiflask import Schema
from marshmallow import fields, validate

from service.fields import Id, Line, Moment
from service.org.accounts.clients import SCOPES
from service.org.accounts.roles import PURPOSES, ROLES
from service.org.schemas import NodeOut


class LogInIn(Schema):
    """A login, a password, and the code of the second factor, or a recovery code, where there is one."""

    login = Line(64, required=True)
    password = Line(200, required=True)
    code = Line(64, load_default=None, allow_none=True)


class RecoverIn(Schema):
    """The code that an administrator handed over, and a new password."""

    login = Line(64, required=True)
    code = Line(64, required=True)
    password = Line(200, required=True)


class PasswordIn(Schema):
    """The old and the new password."""

    password = Line(200, required=True)
    new_password = Line(200, required=True)


class FactorIn(Schema):
    """The password again, and a code of the authenticator that is to be replaced, if there is one."""

    password = Line(200, required=True)
    code = Line(64, load_default=None, allow_none=True)


class CodeIn(Schema):
    """A code of the new authenticator."""

    code = Line(64, required=True)


class PendingOut(Schema):
    """A new authenticator's secret, to be taken over by hand or, as `uri`, by its QR code."""

    secret = fields.String()
    uri = fields.String()


class OpenSessionOut(Schema):
    """A log-in in one browser: whether a second factor was shown, its last use to the minute, and its end."""

    id = Id()
    two_factors = fields.Boolean()
    seen_at = Moment()
    expires_at = Moment()
    current = fields.Boolean()


class OpenSessionsOut(Schema):
    """Log-ins, the one used last first."""

    sessions = fields.List(fields.Nested(OpenSessionOut))


class RecoveryCodesOut(Schema):
    """Codes that stand in for a lost authenticator, each good once; shown in this answer only."""

    recovery_codes = fields.List(fields.String())


class AccountOut(Schema):
    """The account that asks, its organisation, and what it may do just now."""

    id = Id()
    name = fields.String()
    organisation = fields.Nested(NodeOut)
    purposes = fields.List(fields.String())
    second_factor_missing = fields.Boolean()


class LoggedInOut(Schema):
    """The account that has just logged in."""

    organiser = fields.Nested(AccountOut)


class LinkIn(Schema):
    """One's password, shown again."""

    password = Line(200, required=True)


class DepartureOut(Schema):
    """Where this browser logs in at the identity provider."""

    url = fields.String()


class AccountIn(Schema):
    """A new account."""

    login = Line(64, required=True)
    name = Line(200, required=True)
    organisation_id = Id(required=True)


class OpenedOut(Schema):
    """The new account's number, and the code with which its owner chooses a password; shown in this answer only."""

    id = Id()
    code = fields.String()


class ListedAccountOut(Schema):
    """An account as administrators see it."""

    id = Id()
    login = fields.String()
    name = fields.String()
    organisation = fields.Nested(NodeOut)
    office = fields.String(allow_none=True)


class AccountsOut(Schema):
    """Accounts of one's part of the tree."""

    accounts = fields.List(fields.Nested(ListedAccountOut))


class NameQuery(Schema):
    """A part of an organisation's name."""

    name = Line(50, required=True)


class FoundOut(NodeOut):
    """An organisation, and what it lies below."""

    level = fields.String()
    below = fields.String(allow_none=True)


class FoundOrganisationsOut(Schema):
    """Organisations by name."""

    organisations = fields.List(fields.Nested(FoundOut))


class GrantIn(Schema):
    """A role for a purpose at an organisation and below it, between two dates."""

    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    purpose = fields.String(required=True, validate=validate.OneOf(PURPOSES))
    organisation_id = Id(required=True)
    valid_from = Moment(load_default=None, allow_none=True)
    valid_to = Moment(load_default=None, allow_none=True)


class GrantOut(Schema):
    """A grant, held or past."""

    id = Id()
    role = fields.String()
    purpose = fields.String()
    organisation = fields.Nested(NodeOut)
    valid_from = Moment()
    valid_to = Moment(allow_none=True)
    given_by = Id(allow_none=True)
    revoked_at = Moment(allow_none=True)


class GrantsOut(Schema):
    """An account's grants."""

    grants = fields.List(fields.Nested(GrantOut))


class RecoveryOut(Schema):
    """A recovery that waits for a second administrator."""

    id = Id()
    account = Id(attribute="organiser_id")
    proposed_by = Id(allow_none=True)
    proposed_at = Moment()
    expires_at = Moment()


class RecoveriesOut(Schema):
    """The recoveries that wait."""

    recoveries = fields.List(fields.Nested(RecoveryOut))


class ApprovedOut(Schema):
    """The code for the account's owner; shown in this answer only."""

    code = fields.String()


class ClientIn(Schema):
    """A programme that is to act for the organiser's organisation."""

    name = Line(200, required=True)
    scopes = fields.List(fields.String(validate=validate.OneOf(SCOPES)), required=True, validate=validate.Length(1, 8))


class ClientOut(Schema):
    """An API client."""

    id = Id()
    client_id = fields.String()
    name = fields.String()
    scopes = fields.List(fields.String())
    created_at = Moment()
    disabled_at = Moment(allow_none=True)


class ClientsOut(Schema):
    """The API clients of one's part of the tree."""

    clients = fields.List(fields.Nested(ClientOut))


class SecretOut(Schema):
    """A client's new secret, shown in this answer only."""

    client_id = fields.String()
    secret = fields.String()


class TokenOut(Schema):
    """An access token (RFC 6749, 5.1)."""

    access_token = fields.String()
    token_type = fields.String()
    expires_in = fields.Integer()
    scope = fields.String()

"""Fields that every room's schemas share: what passes one of them can be stored and shown.

PostgreSQL's text takes neither NUL nor half a surrogate pair, and its bigint ends; a clock's year may lie outside
what arithmetic can bear. Such input is refused at the door, by name, before any rule runs.
"""

import unicodedata
from datetime import UTC, datetime
from typing import Any

from apiflask.schema_adapters.marshmallow import parser
from flask import Request
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError, fields, validate

from service.clock import iso
from service.errors import ServiceError

MAX_ID = 2**63 - 1
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@parser.location_loader("json")
def read_json(request: Request, schema: Schema) -> Any:
    """The body of `request`. Nested too deep, with too long a number or broken off it is malformed."""
    try:
        return parser.load_json(request, schema)
    except (RecursionError, ValueError, OSError, ParseException):
        raise ServiceError("bad_request") from None


def printable(text: str) -> None:
    """Refuse control characters, NUL among them, and lone surrogates."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValidationError("Control characters are not allowed.")


class Line(fields.String):
    """One line of text of 1 to `longest` characters."""

    def __init__(self, longest: int = 200, **options: Any) -> None:
        checks = [validate.Length(1, longest), printable, *options.pop("validate", ())]
        super().__init__(validate=checks, **options)


class Id(fields.Integer):
    """A row's number, as JSON number only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(1, MAX_ID), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Moment(fields.AwareDateTime):
    """An ISO 8601 time with its offset, in this century; leaves as UTC with a Z."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format="iso", **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        moment = super()._deserialize(value, attr, data, **kwargs)
        # Compared before any conversion: that of an extreme year overflows.
        if not EARLIEST <= moment < LATEST:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        return moment.astimezone(UTC)

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else iso(value)

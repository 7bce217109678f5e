"""What every channel is asked for and answers: sends in, outcomes out, one for each and in the same order.

A channel never raises for what a provider or the network did: that is an outcome. It keeps no state of a delivery; when
to try again, and what to do to an address or a credit, is for the caller to decide and write down.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from service.notify.channels.clients import Clients

# done: the provider has it. retry: again, `after` seconds from now at the earliest. drop_address: it leads nowhere any
# more. alarm: our own settings or standing are wrong; nothing is wrong with message or address. permanent: this
# message will never go to this address.
Kind = Literal["done", "retry", "drop_address", "alarm", "permanent"]
# How long nothing is tried again after an alarm: somebody has to look, but not to restart.
ALARM_SECONDS = 300.0
# What an alarm concerns: nothing more is to be sent by that template, or by the whole channel, until somebody looked.
Stops = Literal["template", "channel"]


@dataclass(frozen=True, kw_only=True)
class Send:
    """One message to one address, rendered and ready.

    `key` is the same in every attempt. `data` are the template's fields where there is a `template`, opaque texts
    for the app elsewhere; `collapse` lets a newer message take the place of an older one.
    """

    delivery: int
    address: str = field(repr=False)
    key: uuid.UUID
    title: str = field(default="", repr=False)
    text: str = field(default="", repr=False)
    template: str = ""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    page: str = field(default="", repr=False)
    language: str = "zh"
    collapse: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one send; `code` is the provider's own word or number for it, or a stable word of ours.

    `since`: drop the address only if it was not registered again after that time. `spent`: the address's credit for
    this template is gone, whatever the ledger says. `field`: what is wrong with the message. `status`: HTTP's, where
    a receiver has no other word.
    """

    kind: Kind
    code: str
    after: float = 0.0
    receipt: str | None = None
    since: datetime | None = None
    spent: bool = False
    stops: Stops | None = None
    field: str | None = None
    status: int | None = None

    @property
    def error(self) -> str | None:
        """What went wrong, if something did."""
        return None if self.kind == "done" else self.code


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str:
        """The channel's stable name, in settings, figures and logs."""
        ...

    @property
    def batch(self) -> int:
        """How many sends of one message it can take at once."""
        ...

    async def send(self, client: "Clients", sends: Sequence[Send]) -> list[Outcome]:
        """Make one attempt at each; sends of one call to one address are made one after another."""
        ...


def done(code: str = "ok", *, receipt: str | None = None, status: int | None = None) -> Outcome:
    """The provider has it."""
    return Outcome(kind="done", code=code, receipt=receipt, status=status)


def retry(code: str, *, after: float = 0.0, status: int | None = None) -> Outcome:
    """Again, not before `after` seconds; 0 leaves it to the caller's back-off."""
    return Outcome(kind="retry", code=code, after=after, status=status)


def alarm(code: str, *, stops: Stops = "channel") -> Outcome:
    """Somebody must look."""
    return Outcome(kind="alarm", code=code, after=ALARM_SECONDS, stops=stops)


def permanent(code: str, *, wrong: str | None = None) -> Outcome:
    """Never; `wrong` names the field."""
    return Outcome(kind="permanent", code=code, field=wrong)


def drop_address(code: str, *, since: datetime | None = None, status: int | None = None) -> Outcome:
    """The address is no more."""
    return Outcome(kind="drop_address", code=code, since=since, status=status)

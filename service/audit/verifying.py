"""Holding the log against its keys, its anchors and itself: what was changed, removed, moved or smuggled in.

Everything after the last anchor is proven by the chain's key alone; that its end was cut off only an anchor can tell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import func, select, text

from service.audit import anchors, chain
from service.audit.anchors import Signed
from service.audit.models import Entry, Note, NoteColumns
from service.audit.notes import mac_of
from service.extensions import db
from service.language import words

PAGE = 2000
# The worker seals every second; a note that waits for this long while it runs is being kept from the chain.
PATIENCE = timedelta(minutes=10)

FINDINGS = {
    "anchor_changed": ("锚点与副本不一致或断链", "the anchor differs from its copy, or from the one before it"),
    "anchor_forged": ("锚点签名无效", "the anchor's signature is not by a known key"),
    "anchor_removed": ("锚点缺失", "the anchor is missing"),
    "changed": ("此条或其前一条被修改、移动或删除", "this entry or the one before was changed, moved or removed"),
    "forged": ("此条非本系统写入，或封存前被修改", "not written by this installation, or changed before it was sealed"),
    "late": ("待封存记录滞留", "a note waits to be sealed"),
    "removed": ("此处之前的记录缺失", "entries before this one are missing"),
    "repeated": ("同一记录出现两次", "the same note is in the chain twice"),
    "rewritten": ("与锚点签名时的链不同", "the chain is not the one that the anchor signed"),
    "start_removed": (
        "开头的记录缺失且无清理记录",
        "entries at the start are missing, and no note says that they were pruned",
    ),
    "tail_removed": ("锚点覆盖的末尾记录缺失", "entries at the end, which the anchor covers, are missing"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong: what, and at which position of the chain, anchor number or note number."""

    kind: str
    where: int

    def __str__(self) -> str:
        return f"{self.kind} {self.where}: {words(*FINDINGS[self.kind])}"


@dataclass
class Report:
    """What was looked at and what was found."""

    findings: list[Finding] = field(default_factory=list)
    entries: int = 0
    first: int = 0
    last: int = 0
    anchored: int = 0
    anchors: int = 0
    waiting: int = 0

    def found(self, kind: str, where: int) -> None:
        """Remember a finding."""
        self.findings.append(Finding(kind, where))


def verify(
    known: Mapping[bytes, bytes],
    signers: Mapping[bytes, Ed25519PublicKey],
    *,
    copies: Iterable[Signed] = (),
    now: datetime,
) -> Report:
    """Look at every entry, anchor and waiting note; `known` are the chain's keys, `copies` anchors kept elsewhere."""
    report = Report()
    # Waiting notes first: one that is sealed meanwhile is then seen twice rather than not at all.
    _waiting(report, known, now)
    signed = _anchors(report, signers, copies)
    pruned = _chain(report, known, signed)
    _start(report, pruned | _pruned_since(report.last, known))
    _repeats(report)
    for anchor in signed.values():
        if anchor.position > report.last:
            report.found("tail_removed", anchor.number)
    return report


def _waiting(report: Report, known: Mapping[bytes, bytes], now: datetime) -> None:
    notes = db.session.scalars(select(Note).order_by(Note.id)).all()
    report.waiting = len(notes)
    for note in notes:
        if not _genuine(note, known):
            report.found("forged", note.id)
        if note.at < now - PATIENCE:
            report.found("late", note.id)


def _anchors(report: Report, signers: Mapping[bytes, Ed25519PublicKey], copies: Iterable[Signed]) -> dict[int, Signed]:
    stored = {anchor.number: anchor for anchor in anchors.stored()}
    kept = {anchor.number: anchor for anchor in copies}
    # A copy is believed where it is signed: who changed the table did not change what lies elsewhere.
    for number, anchor in sorted((stored | kept).items()):
        if number not in stored:
            report.found("anchor_removed", number)
        if number > 1 and number - 1 not in stored | kept:
            report.found("anchor_removed", number - 1)
        if not anchor.signed_by(signers):
            report.found("anchor_forged", number)
        before = (stored | kept).get(number - 1)
        if stored.get(number, anchor) != anchor or (before.digest() if before else chain.GENESIS) != anchor.previous:
            report.found("anchor_changed", number)
    report.anchors = len(stored)
    return {number: anchor for number, anchor in (stored | kept).items() if anchor.signed_by(signers)}


def _chain(report: Report, known: Mapping[bytes, bytes], signed: Mapping[int, Signed]) -> set[int]:
    heads: dict[int, set[bytes]] = {}
    for anchor in signed.values():
        heads.setdefault(anchor.position, set()).add(anchor.head)
    pruned: set[int] = set()
    previous: bytes | None = None
    for entry in _entries():
        if report.entries == 0:
            report.first = entry.position
            previous = _before(entry.position, heads)
        elif entry.position != report.last + 1:
            report.found("removed", entry.position)
            previous = None
        _entry(report, entry, previous, known, heads.get(entry.position, set()))
        if entry.event == "audit.pruned" and _genuine(entry, known):
            pruned.add(entry.details["position"])
        previous = entry.link
        report.last, report.entries = entry.position, report.entries + 1
    report.anchored = max([0, *(position for position in heads if position <= report.last)])
    return pruned


def _entry(
    report: Report, entry: Entry, previous: bytes | None, known: Mapping[bytes, bytes], heads: set[bytes]
) -> None:
    if not _genuine(entry, known):
        report.found("forged", entry.position)
    key = known.get(entry.link_key)
    told = chain.told_by(entry)
    # Without the entry before, its own link cannot be made again; that one is missing was said already.
    sealed = (entry.position, told, entry.mac, entry.sealed_at)
    if key is None or (previous is not None and chain.link_of(key, previous, *sealed) != entry.link):
        report.found("changed", entry.position)
    if heads - {entry.link}:
        report.found("rewritten", entry.position)


def _pruned_since(last: int, known: Mapping[bytes, bytes]) -> set[int]:
    """Where pruning ended that is noted, but not in the chain as far as it was looked at."""
    noted = select(Note).where(Note.event == "audit.pruned")
    # Notes first, as above.
    rows: list[NoteColumns] = [*db.session.scalars(noted)]
    rows += db.session.scalars(select(Entry).where(Entry.position > last, Entry.event == "audit.pruned"))
    return {row.details["position"] for row in rows if _genuine(row, known)}


def _repeats(report: Report) -> None:
    """What was told once and stands there twice: a copy needs no key."""
    db.session.execute(text("SET LOCAL statement_timeout = 0"))
    twice = select(func.max(Entry.position)).group_by(Entry.reference).having(func.count() > 1)
    for position in db.session.scalars(twice.order_by(func.max(Entry.position))):
        report.found("repeated", position)


def _start(report: Report, pruned: set[int]) -> None:
    if report.entries == 0:
        # All of it may have been pruned; the note of that then waits to be sealed.
        report.last = max([0, *pruned])
    elif report.first > 1 and report.first - 1 not in pruned:
        report.found("start_removed", report.first)


def _before(position: int, heads: Mapping[int, set[bytes]]) -> bytes | None:
    """The link before the first entry that is left: none was made yet, or an anchor has it."""
    if position == 1:
        return chain.GENESIS
    known = heads.get(position - 1, set())
    return next(iter(known)) if len(known) == 1 else None


def _genuine(row: NoteColumns, known: Mapping[bytes, bytes]) -> bool:
    key = known.get(row.key)
    return key is not None and mac_of(key, chain.told_by(row)) == row.mac


def _entries() -> Iterator[Entry]:
    """Every entry up to the end of now, in pages: no statement takes long, and sealing goes on meanwhile."""
    end = db.session.scalar(select(func.max(Entry.position))) or 0
    last = -1
    while page := db.session.scalars(
        select(Entry).where(Entry.position > last, Entry.position <= end).order_by(Entry.position).limit(PAGE)
    ).all():
        yield from page
        last = page[-1].position
        db.session.expunge_all()

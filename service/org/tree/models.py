"""Tables of the tree through time. A `during` starts on its first day and ends before the first day after it."""

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, Text, func, text, true
from sqlalchemy.dialects.postgresql import DATERANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds
from service.org.models import PATH

KINDS = ("moved", "merged", "closed", "joined", "parted", "renamed")


@holds(purpose="organising", keeps="ever", internal="id organisation_id parent_id home during")
class Affiliation(Base):
    """An organisation below a parent, or at the top, for a time: its home, or one more parent of a joint body."""

    __tablename__ = "affiliations"
    __table_args__ = (
        CheckConstraint("NOT isempty(during)", name="during"),
        CheckConstraint("home OR parent_id IS NOT NULL", name="parent"),
        Index("uq_affiliations_home", "organisation_id", text("lower(during)"), unique=True, postgresql_where="home"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("organisations.id"), index=True)
    home: Mapped[bool] = mapped_column(server_default=true())
    during: Mapped[Range[date]] = mapped_column(DATERANGE)


@holds(purpose="organising", keeps="ever", internal="path during organisation_id home")
class DatedPath(Base):
    """A path to an organisation for a time; a joint body has one through each of its parents.

    Drawn from the affiliations by `service.org.tree.paths` alone. `home` is the path that `organisations.path` shows on
    these days.
    """

    __tablename__ = "organisation_paths"

    path: Mapped[str] = mapped_column(PATH, primary_key=True)
    during: Mapped[Range[date]] = mapped_column(DATERANGE, primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"), index=True)
    home: Mapped[bool]


@holds(
    purpose="organising",
    keeps="ever",
    internal="id organisation_id kind effective_on other_id former_name entered_by entered_at settled",
)
class OrganisationChange(Base):
    """What was entered, by whom, and from which day it holds; `settled` once today's paths show it."""

    __tablename__ = "organisation_changes"
    __table_args__ = (
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        Index("ix_organisation_changes_due", "effective_on", postgresql_where=text("NOT settled")),
        Index(None, "organisation_id", "effective_on"),
        Index(
            "ix_organisation_changes_renamed",
            "organisation_id",
            "effective_on",
            "id",
            postgresql_where=text("kind = 'renamed'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organisation_id: Mapped[int] = mapped_column(ForeignKey("organisations.id"))
    kind: Mapped[str] = mapped_column(Text)
    effective_on: Mapped[date]
    other_id: Mapped[int | None] = mapped_column(ForeignKey("organisations.id"))
    former_name: Mapped[str | None] = mapped_column(Text)
    # An organiser's number, kept as given; none for the command line.
    entered_by: Mapped[int | None] = mapped_column(BigInteger)
    entered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    settled: Mapped[bool] = mapped_column(server_default=text("false"))

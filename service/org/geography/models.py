"""Tables of changes of divisions and of dated sets of divisions."""

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import DATERANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from service.extensions import Base
from service.labels import holds

KINDS = ("abolished", "renamed", "moved")


@holds(
    purpose="reference",
    keeps="ever",
    public="code kind effective_on former_name former_parent_code",
    internal="id entered_by entered_at",
)
class DivisionChange(Base):
    """A change that an administrator entered, with the day from which it holds and what had been until then."""

    __tablename__ = "division_changes"
    __table_args__ = (
        CheckConstraint(f"kind IN {KINDS}", name="kind"),
        UniqueConstraint("code", "kind", "effective_on"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("divisions.code"))
    kind: Mapped[str] = mapped_column(Text)
    effective_on: Mapped[date]
    former_name: Mapped[str | None] = mapped_column(Text)
    former_parent_code: Mapped[str | None] = mapped_column(ForeignKey("divisions.code"), index=True)
    # An organiser's number, kept as given; none for the command line.
    entered_by: Mapped[int | None] = mapped_column(BigInteger)
    entered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@holds(purpose="reference", keeps="ever", public="key name")
class GeographySet(Base):
    """A named set of divisions, such as the counties along a border."""

    __tablename__ = "geography_sets"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)


@holds(purpose="reference", keeps="ever", public="set_key code during")
class GeographySetDivision(Base):
    """A division in a set for a time; `during` starts on its first day and ends before the first day after it."""

    __tablename__ = "geography_set_divisions"
    __table_args__ = (CheckConstraint("NOT isempty(during)", name="during"),)

    set_key: Mapped[str] = mapped_column(ForeignKey("geography_sets.key"), primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("divisions.code"), primary_key=True, index=True)
    during: Mapped[Range[date]] = mapped_column(DATERANGE)

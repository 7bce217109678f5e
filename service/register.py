"""The processing register: every table with its purpose, legal basis, retention and labelled columns, in one page.

It is made from what the models declare, so that it cannot say anything else than they do.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Table

from service.extensions import Base
from service.labels import BASES, LABELS, PURPOSES, label_of

HEAD = """# 个人信息处理登记 · Processing register

Made by `chunshui register show` from the labels on the models; a test compares. The legal bases are the ones that the
product assumes: what counsel decides for an installation is recorded with its date by `chunshui register basis`, and
that command then shows it.
"""


def page(bases: Mapping[str, str] | None = None) -> str:
    """The register as Markdown; `bases` are the ones that an installation recorded, by purpose."""
    return "\n".join([HEAD, *labels(), "", *tables(bases or {}), ""])


def labels() -> Iterator[str]:
    """What the labels mean."""
    yield "| label | 标签 | means |"
    yield "|---|---|---|"
    yield from (f"| {label} | {chinese} | {english} |" for label, (chinese, english) in LABELS.items())


def tables(bases: Mapping[str, str]) -> Iterator[str]:
    """One row a table."""
    yield "| table | purpose 目的 | legal basis 法律依据 | kept 保存期限 | columns |"
    yield "|---|---|---|---|---|"
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        purpose = PURPOSES[table.info["purpose"]]
        basis = BASES[bases.get(table.info["purpose"], purpose.basis)]
        kept = table.info["kept"]
        told = (f"{chinese} {english}" for chinese, english in ((purpose.chinese, purpose.english), basis, kept))
        yield f"| `{table.name}` | {' | '.join(told)} | {columns(table)} |"


def columns(table: Table) -> str:
    """The columns of a table by label, the most confidential first."""
    by_label = {label: [f"`{one.name}`" for one in table.columns if label_of(one) == label] for label in LABELS}
    return "; ".join(f"{label}: {', '.join(names)}" for label, names in reversed(by_label.items()) if names)

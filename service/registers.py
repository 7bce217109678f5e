"""`chunshui division`, `chunshui organisation`, `chunshui import organisations`: keeping the registers by hand."""

import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.clock import day_of
from service.clock import now as read_clock
from service.language import words
from service.terminal import RUNNING, within

if TYPE_CHECKING:
    from service.org.entries import Entry
    from service.org.tree.importing import Fate

SHOWN = 20
DATE = click.DateTime(["%Y-%m-%d"])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
NUMBER = click.IntRange(1)
ON = click.option(
    "--on", type=DATE, help=words("生效日期，缺省为今天。", "The first day on which it holds; today if not given.")
)
AS_OF = click.option(
    "--as-of", "as_of", type=DATE, help=words("日期，缺省为今天。", "As of which day; today if not given.")
)


@click.group(help=words("行政区划。", "Administrative divisions."))
def division() -> None:
    """Changes of divisions, and looking them up."""


@division.command(help=words("按名称查找；须给出上级或层级。", "Find by name, with a parent or a level."))
@click.argument("name")
@click.option("--parent", help=words("上级区划代码。", "Code of a division above it."))
@click.option("--level", type=click.Choice(["province", "prefecture", "county", "township"]))
@AS_OF
@RUNNING
def find(name: str, parent: str | None, level: str | None, as_of: datetime | None, running: Path | None) -> None:
    """Every candidate; exit code 1 unless there is exactly one."""
    from service.org.geography import lookup

    with within(running):
        found = lookup.find(name, day=chosen(as_of), parent=parent, level=level)
    for one in found:
        click.echo(f"{one.code}\t{one.name}\t{one.parent_name or ''}\t{one.valid_to or ''}")
    sys.exit(0 if len(found) == 1 else 1)


@division.command(help=words("增加别名。", "Add another spelling of its name."))
@click.argument("code")
@click.argument("spelling")
@RUNNING
def alias(code: str, spelling: str, running: Path | None) -> None:
    """As the rule says."""
    from service.org.geography import changes

    with within(running):
        changes.add_alias(code, spelling)
    done()


@division.command(help=words("区划撤销。", "Abolish a division."))
@click.argument("code")
@click.option("--successor", help=words("承接区划代码。", "Code of the one that takes its place."))
@ON
@RUNNING
def abolish(code: str, successor: str | None, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.geography import changes

    with within(running):
        changes.abolish(code, on=chosen(on), successor=successor, entry=entry())
    done()


@division.command("rename", help=words("区划更名。", "Rename a division."))
@click.argument("code")
@click.argument("name")
@ON
@RUNNING
def rename_division(code: str, name: str, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.geography import changes

    with within(running):
        changes.rename(code, name=name, on=chosen(on), entry=entry())
    done()


@division.command("move", help=words("区划改隶。", "Move a division below another parent."))
@click.argument("code")
@click.option("--to", required=True, help=words("新上级区划代码。", "Code of the new parent."))
@ON
@RUNNING
def move_division(code: str, to: str, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.geography import changes

    with within(running):
        changes.move(code, parent=to, on=chosen(on), entry=entry())
    done()


@click.group(help=words("组织树。", "The tree of organisations."))
def organisation() -> None:
    """Changes of organisations, and exporting them."""


@organisation.command(help=words("改变隶属。", "Move below another parent, with everything below."))
@click.argument("number", type=NUMBER)
@click.option("--to", type=NUMBER, required=True, help=words("新上级编号。", "Number of the new parent."))
@ON
@RUNNING
def move(number: int, to: int, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        changes.move(number, to=to, on=chosen(on), entry=entry())
    done()


@organisation.command(help=words("并入另一组织。", "Merge into another one: members and all below go there."))
@click.argument("number", type=NUMBER)
@click.option("--into", type=NUMBER, required=True, help=words("并入的组织编号。", "Number of the other one."))
@ON
@RUNNING
def merge(number: int, into: int, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        changes.merge(number, into=into, on=chosen(on), entry=entry())
    done()


@organisation.command(help=words("撤销组织。", "Close one to which nothing belongs any more."))
@click.argument("number", type=NUMBER)
@ON
@RUNNING
def close(number: int, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        changes.close(number, on=chosen(on), entry=entry())
    done()


@organisation.command(help=words("更名。", "Rename."))
@click.argument("number", type=NUMBER)
@click.argument("name")
@ON
@RUNNING
def rename(number: int, name: str, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        changes.rename(number, name=name, on=chosen(on), entry=entry())
    done()


@organisation.command(help=words("联建组织增加一个上级。", "Give a joint body one more parent for a time."))
@click.argument("number", type=NUMBER)
@click.option("--parent", type=NUMBER, required=True, help=words("上级编号。", "Number of the parent."))
@click.option("--until", type=DATE, help=words("至此日前止。", "The first day on which it is no more."))
@ON
@RUNNING
def join(number: int, parent: int, until: datetime | None, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        end = until.date() if until else None
        changes.join(number, parent=parent, on=chosen(on), until=end, entry=entry())
    done()


@organisation.command(help=words("联建组织减少一个上级。", "End one of the further parents of a joint body."))
@click.argument("number", type=NUMBER)
@click.option("--parent", type=NUMBER, required=True, help=words("上级编号。", "Number of the parent."))
@ON
@RUNNING
def part(number: int, parent: int, on: datetime | None, running: Path | None) -> None:
    """As the rule says."""
    from service.org.tree import changes

    with within(running):
        changes.part(number, parent=parent, on=chosen(on), entry=entry())
    done()


@organisation.command(help=words("导出为 XLSX 或 CSV。", "Export as XLSX or CSV."))
@click.argument("file", type=NEW_FILE)
@click.option("--below", type=NUMBER, help=words("只导出此组织及其下级。", "Only this one and what is below it."))
@AS_OF
@RUNNING
def export(file: Path, below: int | None, as_of: datetime | None, running: Path | None) -> None:
    """A file that `chunshui import organisations` takes."""
    from service.org.tree.exporting import export_organisations

    with within(running), file.open("wb") as target:
        count = export_organisations(target, kind_of(file), below=below, day=chosen(as_of))
    click.echo(words(f"已导出 {count} 行", f"exported {count} rows"))


@click.command("organisations", help=words("导入组织（XLSX、CSV）。", "Import organisations from XLSX or CSV."))
@click.argument("file", type=FILE)
@click.option(
    "--dry-run", is_flag=True, help=words("只显示结果，不保存。", "Say what would become of it; keep nothing.")
)
@click.option("--fates", type=NEW_FILE, help=words("逐行结果写入此文件。", "Write every row's fate to this file."))
@ON
@RUNNING
def import_organisations(
    file: Path, dry_run: bool, fates: Path | None, on: datetime | None, running: Path | None
) -> None:
    """Exit code 1 if a row was refused."""
    from service.org.tree import importing
    from service.org.tree.fates import FATES, explained

    with within(running):
        found = importing.import_organisations(file, on=chosen(on), entry=entry(), dry_run=dry_run)
    if fates:
        keep(found, fates)
    counted = Counter(one.fate for one in found)
    click.echo(", ".join(f"{words(*FATES[fate])} {counted[fate]}" for fate in FATES))
    for one in [one for one in found if one.fate == "refused"][:SHOWN]:
        click.echo(f"{one.row}\t{one.code}\t{one.name}\t{explained(one, words)}")
    if dry_run:
        click.echo(words("试运行：未保存任何内容", "dry run: nothing was kept"))
    sys.exit(1 if counted["refused"] else 0)


def keep(found: "list[Fate]", file: Path) -> None:
    """Write every row's fate to an XLSX or CSV file."""
    from service import sheets
    from service.org.tree.fates import table

    headings, rows = table(found, words)
    with file.open("wb") as target:
        sheets.write(target, kind_of(file), headings=headings, rows=rows)


def kind_of(file: Path) -> str:
    """csv or xlsx, by the file's name."""
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "xlsx"):
        raise click.UsageError(words("文件名须以 .xlsx 或 .csv 结尾", "the file must end in .xlsx or .csv"))
    return kind


def chosen(day: datetime | None) -> date:
    """The day that was given, else today."""
    return day.date() if day else day_of(read_clock())


def entry() -> "Entry":
    """An entry of today's by the command line."""
    from service.org.entries import Entry

    return Entry(day_of(read_clock()))


def done() -> None:
    """Say so."""
    click.echo(words("已记录", "recorded"))

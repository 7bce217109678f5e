"""`chunshui roster`: enrolling people from a table, and the table of who is enrolled."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.clock import now as read_clock
from service.errors import ServiceError
from service.language import words
from service.org.people.fates import FATES, described, table
from service.terminal import RUNNING, outages, refusals, settings, told

if TYPE_CHECKING:
    from service.org.people.enrolment import Fate, Outcome, Progress
    from service.sealing import Keyring

SHOWN = 20
STEPS = {
    "read": ("读取", "reading"),
    "index": ("索引", "indexing"),
    "judge": ("比对", "comparing"),
    "seal": ("加密", "sealing"),
    "write": ("写入", "writing"),
}
ORGANISATION = click.option(
    "--organisation", type=int, help=words("仅限此组织及下级。", "Only within this organisation and below.")
)


@click.group(help=words("党员名册。", "The roster of members."))
def roster() -> None:
    """Tables of members."""


@roster.command(
    "import",
    help=words(
        "导入名册（XLSX、XLS、CSV）；先显示差异，确认后写入；有拒绝的行时退出码为 1。",
        "Enrol people from XLSX, XLS or CSV; differences are shown first. Exit code 1 if a row was refused.",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help=words("只显示差异。", "Show the differences only."))
@click.option("--yes", is_flag=True, help=words("不询问，直接写入。", "Write without asking."))
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help=words("把每一行的结果写入此文件（.csv 或 .xlsx）。", "Write every row's fate to this file, .csv or .xlsx."),
)
@ORGANISATION
@RUNNING
def import_roster(
    file: Path, dry_run: bool, yes: bool, report: Path | None, organisation: int | None, running: Path | None
) -> None:
    """All of it or nothing; may be repeated."""
    from service.clock import now
    from service.org.people.enrolment import enrol, judge
    from service.org.people.entries import entries

    with ready(running) as ring:
        scope, expected = path_of(organisation), None
        if dry_run or not yes:
            with bars() as progress:
                outcome = judge(entries(file), scope=scope, ring=ring, progress=progress)
            expected = outcome.digest
            tell(outcome, report)
        if not dry_run and not yes:
            click.confirm(words("写入？", "Write this?"), abort=True)
        if not dry_run:
            with bars() as progress:
                outcome = enrol(entries(file), scope=scope, ring=ring, now=now(), expected=expected, progress=progress)
            tell(outcome, report)
    if outcome.counts["refused"]:
        raise SystemExit(1)


@roster.command("export", help=words("导出名册（.xlsx 或 .csv）。", "Write the roster to .xlsx or .csv."))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--reveal", is_flag=True, help=words("含完整号码。", "With phone and identity numbers whole."))
@ORGANISATION
@RUNNING
def export_roster(file: Path, reveal: bool, organisation: int | None, running: Path | None) -> None:
    """For its owner's eyes only; numbers as tails unless they are asked for."""
    from service.org.people import export
    from service.sheets import write

    with ready(running) as ring:
        scope = path_of(organisation)
        rows = export.rows(scope, ring=ring, reveal=reveal, now=read_clock())
        file.touch(mode=0o600)
        with file.open("wb") as target:
            write(target, kind_of(file), headings=export.HEADINGS, rows=rows)
    click.echo(words(f"已写入 {file}", f"wrote {file}"))


@contextmanager
def ready(running: Path | None) -> "Iterator[Keyring]":
    """The installation's database and its keys; what it refuses ends the command with one line."""
    from service.app import create_core

    config = settings(running)
    with refusals(), outages(), create_core(config).app_context():
        try:
            yield config.keyring
        except ServiceError as error:
            raise click.ClickException(explained(error)) from None


def explained(error: ServiceError) -> str:
    """A refusal with what it says of the table: the row, the columns, the bound."""
    details = {name: value for name, value in error.details.items() if name != "errors" and value}
    return told(error) + "".join(f"; {name}: {value}" for name, value in details.items())


def path_of(organisation: int | None) -> str:
    """The path of an organisation's number, "" for the whole tree."""
    from service.extensions import db
    from service.org.models import Organisation

    if organisation is None:
        return ""
    found = db.session.get(Organisation, organisation)
    if found is None:
        raise ServiceError("not_found")
    return found.path


def kind_of(file: Path) -> str:
    """Which kind of table a file's name asks for."""
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "xlsx"):
        raise click.UsageError(words("文件名须以 .csv 或 .xlsx 结尾", "the file's name must end in .csv or .xlsx"))
    return kind


@contextmanager
def bars() -> "Iterator[Progress]":
    """A bar for each step, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as shown:
        tasks = {step: shown.add_task(words(*texts), total=None, start=False) for step, texts in STEPS.items()}

        def progress(step: str, done: int, total: int | None) -> None:
            shown.start_task(tasks[step])
            shown.update(tasks[step], completed=done, total=total)

        yield progress


def tell(outcome: "Outcome", report: Path | None) -> None:
    """The counts, the first differences and refusals; and every row's fate into `report`."""
    from service.sheets import write

    click.echo("  ".join(f"{words(*texts)} {outcome.counts[fate]}" for fate, texts in FATES.items()))
    for fate in ("changed", "refused"):
        lines = [line(one) for one in outcome.fates if one.fate == fate]
        click.echo("\n".join(lines[:SHOWN]), nl=bool(lines))
        if len(lines) > SHOWN:
            click.echo(words(f"  … 另有 {len(lines) - SHOWN} 行", f"  … and {len(lines) - SHOWN} more"))
    if report is not None:
        headings, rows = table(outcome.fates, words)
        report.touch(mode=0o600)
        with report.open("wb") as target:
            write(target, kind_of(report), headings=headings, rows=rows)


def line(fate: "Fate") -> str:
    """A row's fate in a line."""
    return words(f"  第 {fate.row} 行：", f"  row {fate.row}: ") + described(fate, words)

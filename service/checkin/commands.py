"""`chunshui attendance`: entering a paper list from a table, and the sign-in sheet that one prints before."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.clock import now as read_clock
from service.language import english, words
from service.org.people.roster_commands import explained as told_of_table
from service.org.people.roster_commands import kind_of
from service.terminal import RUNNING, within

if TYPE_CHECKING:
    from service.checkin.paper.importing import Outcome

SHOWN = 20
ACTIVITY = click.option(
    "--activity", type=click.IntRange(1), required=True, help=words("活动编号。", "Number of the activity.")
)
BY = click.option(
    "--by",
    "login",
    required=True,
    help=words("以此账号的权限与名义。", "The account in whose name, and within whose part of the tree."),
)

SITTING = click.option(
    "--sitting", type=click.IntRange(1), help=words("场次编号；仅一场时可省略。", "Which of several sittings.")
)


@click.group(help=words("签到与参学。", "Attendance."))
def attendance() -> None:
    """Paper lists in, sign-in sheets out."""


@attendance.command(
    "import",
    help=words(
        "录入纸质签到表（XLSX、XLS、CSV；须有党员编号与姓名两列）；可重复执行；有拒绝的行时退出码为 1。",
        "Enter a paper list from XLSX, XLS or CSV with the columns member number and name; may be repeated. "
        "Exit code 1 if a row was refused.",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@ACTIVITY
@BY
@SITTING
@click.option("--dry-run", is_flag=True, help=words("只显示结果，不写入。", "Only show what would become of it."))
@click.option(
    "--whole", is_flag=True, help=words("有一行被拒绝就全部不写入。", "All of it, or nothing if a row is refused.")
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help=words("把每一行的结果写入此文件（.csv 或 .xlsx）。", "Write every row's fate to this file, .csv or .xlsx."),
)
@RUNNING
def import_list(
    file: Path,
    activity: int,
    login: str,
    sitting: int | None,
    dry_run: bool,
    whole: bool,
    report: Path | None,
    running: Path | None,
) -> None:
    """By the rule of every check-in."""
    from service.audit import OPERATOR
    from service.checkin.paper.importing import Wish, enter
    from service.errors import ServiceError
    from service.org.accounts.acting import acting_as

    kind = kind_of(report) if report else ""
    with within(running):
        now = read_clock()
        try:
            wish = Wish(sitting=sitting, dry_run=dry_run, whole=whole)
            outcome = enter(acting_as(login, now), activity, file, wish, now, actor=OPERATOR)
        except ServiceError as error:
            raise click.ClickException(told_of_table(error)) from None
    tell(outcome)
    if report:
        keep(outcome, report, kind)
    if outcome.counts["refused"]:
        raise SystemExit(1)


@attendance.command(
    "sheet",
    help=words(
        "导出签到表（.xlsx），可打印、签名，再用 import 录入。",
        "Write the sign-in sheet to .xlsx: to print, to sign, and to enter again by import.",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@ACTIVITY
@BY
@click.option("--node", type=click.IntRange(1), required=True, help=words("组织编号。", "Number of the organisation."))
@SITTING
@RUNNING
def write_sheet(file: Path, activity: int, login: str, node: int, sitting: int | None, running: Path | None) -> None:
    """For its owner's eyes only."""
    from service.audit import OPERATOR
    from service.checkin.attendance import printing, sheet
    from service.org.accounts.acting import acting_as

    if kind_of(file) != "xlsx":
        raise click.UsageError(words("文件名须以 .xlsx 结尾", "the file's name must end in .xlsx"))
    with within(running):
        now, asked = read_clock(), sheet.Asked(activity=activity, node=node, sitting=sitting)
        taken = sheet.take(acting_as(login, now), asked, now, actor=OPERATOR)
        file.touch(mode=0o600)
        with file.open("wb") as target:
            printing.write(target, taken, language())
    click.echo(words(f"已写入 {len(taken.lines)} 人", f"wrote {len(taken.lines)} people"))


def tell(outcome: "Outcome") -> None:
    """The counts, the first refusals, and whether anything was written."""
    from service.checkin.paper.words import FATES, explained

    click.echo("  ".join(f"{words(*texts)} {outcome.counts[fate]}" for fate, texts in FATES.items()))
    refused = [one for one in outcome.fates if one.fate == "refused"]
    for one in refused[:SHOWN]:
        said = explained(one.reason or "internal", language())
        click.echo(words(f"  第 {one.row} 行：", f"  row {one.row}: ") + said)
    if len(refused) > SHOWN:
        click.echo(words(f"  … 另有 {len(refused) - SHOWN} 行", f"  … and {len(refused) - SHOWN} more"))
    if not outcome.written:
        click.echo(words("未写入任何内容", "nothing was written"))


def keep(outcome: "Outcome", file: Path, kind: str) -> None:
    """Every row's fate, for its owner's eyes only."""
    from service.checkin.paper.words import FATES, explained
    from service.sheets import write

    rows = [
        (one.row, one.member, words(*FATES[one.fate]), explained(one.reason, language()) if one.reason else "")
        for one in outcome.fates
    ]
    headings = ("row", "member number", "fate", "details") if english() else ("行", "党员编号", "结果", "说明")
    file.touch(mode=0o600)
    with file.open("wb") as target:
        write(target, kind, headings=headings, rows=rows)


def language() -> str:
    """Which of the two the terminal speaks."""
    return "en" if english() else "zh"

"""`chunshui person` and `chunshui register`: a person's rights at the operator's hand, and the processing register."""

import json
from pathlib import Path

import click

from service.clock import now as read_clock
from service.language import words
from service.terminal import RUNNING, within

MEMBER = click.argument("member", type=click.IntRange(1, 2**63 - 1))


@click.group(help=words("个人信息权利：查阅、更正、删除、撤回同意。", "A person's rights over what is held."))
def person() -> None:
    """By member number, for who asks on paper or has lost the phone."""


@person.command(help=words("导出所持有的此人全部信息（JSON）。", "Print all that is held of a member, as JSON."))
@MEMBER
@RUNNING
def export(member: int, running: Path | None) -> None:
    """See it and take it along."""
    from service.audit import OPERATOR
    from service.org.person import rights

    with within(running):
        document = rights.export(member, actor=OPERATOR, now=read_clock())
    click.echo(json.dumps(document, ensure_ascii=False, indent=1))


@person.command(help=words("更正姓名或所在地。", "Correct name or present place."))
@MEMBER
@click.option("--name", help=words("姓名。", "Name."))
@click.option("--place", "place_code", help=words("所在地区划代码。", "Code of the present place."))
@RUNNING
def correct(member: int, name: str | None, place_code: str | None, running: Path | None) -> None:
    """What is not named stays."""
    from service.audit import OPERATOR
    from service.org.person import rights

    given = {"name": name, "place_code": place_code}
    with within(running):
        changes = {field: value for field, value in given.items() if value is not None}
        rights.correct(member, changes, actor=OPERATOR, now=read_clock())
    click.echo(words("已更正", "corrected"))


@person.command(
    help=words("删除此人信息；统计数不变。不可恢复。", "Erase a person; counts keep their sums. No way back.")
)
@MEMBER
@click.confirmation_option(prompt=words("确定删除？", "Erase for good?"))
@RUNNING
def erase(member: int, running: Path | None) -> None:
    """May be repeated."""
    from service.audit import OPERATOR
    from service.org.person import rights

    with within(running):
        rights.erase(member, actor=OPERATOR, now=read_clock())
    click.echo(words("已删除", "erased"))


@person.command(help=words("撤回同意。", "Withdraw a consent."))
@MEMBER
@click.argument("purpose")
@RUNNING
def withdraw(member: int, purpose: str, running: Path | None) -> None:
    """Quiet if there is none."""
    from service.audit import OPERATOR
    from service.org.person import consents

    with within(running):
        consents.withdraw(member, purpose, actor=OPERATOR, now=read_clock())
    click.echo(words("已撤回", "withdrawn"))


@click.group(help=words("个人信息处理登记。", "The processing register."))
def register() -> None:
    """What is held, why, on which basis, for how long."""


@register.command(help=words("输出登记（Markdown）；--product 不含本机记录。", "Print it as Markdown."))
@click.option("--product", is_flag=True, help=words("仅产品默认。", "As the product assumes it, without a database."))
@RUNNING
def show(product: bool, running: Path | None) -> None:
    """With the legal bases that this installation recorded."""
    from service.app import load_models
    from service.org.person import consents
    from service.register import page

    load_models()
    if product:
        click.echo(page(), nl=False)
        return
    with within(running):
        click.echo(page(consents.recorded()), nl=False)


@register.command(help=words("登记某目的的法律依据，自即日起。", "Record the legal basis of a purpose, from now on."))
@click.argument("purpose")
@click.argument("basis")
@click.option("--reference", required=True, help=words("依据出处。", "Who decided so, and where it is written."))
@RUNNING
def basis(purpose: str, basis: str, reference: str, running: Path | None) -> None:
    """The one before ends, and is kept."""
    from service.org.person import consents

    with within(running):
        consents.record_basis(purpose, basis, reference=reference, now=read_clock())
    click.echo(words("已登记", "recorded"))

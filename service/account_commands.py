"""`chunshui organiser`: accounts at the command line, whose operator answers for what nobody has granted yet."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.clock import now as read_clock
from service.language import words
from service.terminal import RUNNING, asked_password, within

if TYPE_CHECKING:
    from service.org.models import Organiser

# As service.org.accounts.roles has them; repeated, so that --help needs no database driver.
ROLES = ("organiser", "branch_secretary", "system_administrator", "security_administrator", "auditor")
ROLE = click.option(
    "--role", type=click.Choice(ROLES), default="organiser", show_default=True, help=words("角色。", "Role.")
)
ORGANISATION = click.option(
    "--organisation", type=int, required=True, help=words("组织编号。", "Number of the organisation.")
)


@click.group(help=words("组织者与管理员账号。", "Accounts of organisers and administrators."))
def organiser() -> None:
    """Accounts of people who hold days, and of those who administer."""


@organiser.command(
    "add", help=words("新增账号；密码从标准输入读取或提示。", "Add an account; the password is asked for.")
)
@click.argument("login")
@click.option("--name", required=True, help=words("姓名。", "Name."))
@ORGANISATION
@ROLE
@RUNNING
def add(login: str, name: str, organisation: int, role: str, running: Path | None) -> None:
    """One new account; refused if the login is taken or the organisation unknown."""
    with within(running):
        from service.org.accounts.opening import add_organiser

        password = asked_password()
        number = add_organiser(
            login, name=name, password=password, organisation_id=organisation, role=role, now=read_clock()
        )
    click.echo(words(f"已新增组织者 {login}（编号 {number}）", f"added organiser {login} (number {number})"))


@organiser.command("grant", help=words("授予角色。", "Grant a role."))
@click.argument("login")
@ORGANISATION
@ROLE
@click.option(
    "--until",
    type=click.DateTime(),
    help=words("截止时间（UTC），缺省不限。", "Until when (UTC); without, for good."),
)
@RUNNING
def grant(login: str, organisation: int, role: str, until: datetime | None, running: Path | None) -> None:
    """A role with all of its purposes; refused beside another administrator's office."""
    with within(running):
        from datetime import UTC

        from service.org.accounts import grants

        ends = until.replace(tzinfo=UTC) if until else None
        grants.enter_role(
            account_of(login).id, role=role, organisation_id=organisation, valid_to=ends, now=read_clock()
        )
    click.echo(words(f"已授予 {login}：{role}", f"granted to {login}: {role}"))


@organiser.command("recover", help=words("签发恢复码。", "Issue a code for the way back in."))
@click.argument("login")
@RUNNING
def recover(login: str, running: Path | None) -> None:
    """For the day when no two administrators are there: whoever has this machine has everything anyway."""
    with within(running):
        from service.org.accounts import recovery

        code = recovery.issue_now(account_of(login).id, read_clock())
    click.echo(words(f"恢复码（一小时内有效，仅显示一次）：{code}", f"code, good for an hour, shown once: {code}"))


@organiser.command(
    "link", help=words("将账号关联到统一身份认证的 sub。", "Link to a subject at the identity provider.")
)
@click.argument("login")
@click.argument("subject")
@RUNNING
def link(login: str, subject: str, running: Path | None) -> None:
    """Who logs in there as SUBJECT then logs in here as LOGIN; refused if another account is linked to it."""
    with within(running) as config:
        from service.org.accounts.provider import links

        if not config.oidc_issuer:
            raise click.UsageError(words("未设置 OIDC_ISSUER", "OIDC_ISSUER is not set"))
        links.link(account_of(login).id, config.oidc_issuer, subject, by=None, now=read_clock())
    click.echo(words(f"已关联 {login}", f"linked {login}"))


@organiser.command("unlink", help=words("解除账号的统一身份认证关联。", "Unlink from the identity provider."))
@click.argument("login")
@RUNNING
def unlink(login: str, running: Path | None) -> None:
    """Quiet if it is not linked."""
    with within(running):
        from service.org.accounts.provider import links

        links.unlink(account_of(login).id, by=None, now=read_clock())
    click.echo(words(f"已解除关联 {login}", f"unlinked {login}"))


def account_of(login: str) -> "Organiser":
    """The account of that login; ServiceError not_found."""
    from service.org.accounts.listing import by_login

    return by_login(login)

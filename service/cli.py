"""The `chunshui` command. Exit codes: 0 done, 1 refused or figures that disagree, 2 wrong use or settings."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from service import __version__
from service.account_commands import organiser
from service.auditing import audit
from service.checkin.commands import attendance
from service.errors import ServiceError
from service.language import words
from service.org.people.commands import certificate, keys
from service.org.people.roster_commands import roster
from service.registers import division, import_organisations, organisation
from service.rights import person, register
from service.supervisor import HERE, installed
from service.terminal import FOLDER, OWN_DATA, RUNNING, outages, refusals, settings, told, within

MEMBERS = click.IntRange(1, 150_000)
SECONDS = click.FloatRange(0, 86_400)
SHARE = click.FloatRange(0, 1)
PORT = click.IntRange(1, 65_535)
DATA_DIR = click.option(
    "--data-dir",
    type=FOLDER,
    default=OWN_DATA,
    show_default=".chunshui",
    help=words("数据目录，跨次运行保留。", "Data folder, kept between runs."),
)
LAN = click.option("--lan", is_flag=True, help=words("向局域网开放。", "Open it to the local network."))


@click.group(help=words("春水：跨省主题党日的直播人数、签到与通知。", "Chunshui: themed days across provinces."))
@click.version_option(__version__, prog_name="chunshui")
def main() -> None:
    """Every command; see `chunshui --help`."""


@main.command(
    help=words("在本机重演首场主题党日，带模拟成员。", "Re-enact the founding day here, with synthetic members.")
)
@click.option(
    "--members", type=MEMBERS, default=3000, show_default=True, help=words("模拟成员数。", "Synthetic members.")
)
@click.option("--exit", "leave", is_flag=True, help=words("成员离开后自动结束。", "End after the members have left."))
@click.option("--json", "as_json", is_flag=True, help=words("最后一行输出 JSON。", "Last line: the figures as JSON."))
@LAN
@DATA_DIR
def demo(members: int, leave: bool, as_json: bool, lan: bool, data_dir: Path) -> None:
    """The founding day, whole."""
    from service.demo import Wishes, hold

    console = Console(stderr=as_json)
    wishes = Wishes(members=members, leave=leave, json=as_json, lan=lan, data_dir=data_dir)
    with refusals():
        agreed = hold(wishes, console)
    sys.exit(0 if agreed else 1)


@main.command(help=words("启动同样的进程，不带模拟成员。", "Start the same processes without synthetic members."))
@LAN
@DATA_DIR
def up(lan: bool, data_dir: Path) -> None:
    """An installation until Ctrl-C."""
    host = "0.0.0.0" if lan else "127.0.0.1"
    hosts = {"WEB_HOST": host, "GATEWAY_HOST": host}
    with refusals(), installed(hosts, data_dir=data_dir, say=click.echo, sandbox=False) as running:
        click.echo(
            words("运行中，按 Ctrl-C 结束：", "running, Ctrl-C ends it: ")
            + f"http://127.0.0.1:{running.config.web_port}/"
        )
        try:
            while True:
                running.keep_running(click.echo)
                time.sleep(1)
        except KeyboardInterrupt:
            click.echo(words("正在停止 …", "stopping …"))


@main.command(help=words("网页与 REST 进程（生产用，环境变量配置）。", "The web process, set by the environment."))
def web() -> None:
    """gunicorn with deploy/gunicorn/web.py."""
    become_gunicorn("web")


@main.command(help=words("成员连接网关进程（生产用）。", "The gateway of the members' connections."))
def gateway() -> None:
    """gunicorn with deploy/gunicorn/gateway.py."""
    become_gunicorn("gateway")


@main.command(
    help=words("后台任务进程：清理、投递、曲线（生产用）。", "Background tasks: reaping, deliveries, curves.")
)
def worker() -> None:
    """The loop of periodic tasks; any number of copies may run."""
    from service.app import create_core
    from service.duties import duties
    from service.logs import configure
    from service.metrics import Board
    from service.working import Crew, run

    config = settings()
    configure(config.log_level, "worker")
    app, board = create_core(config), Board("worker")
    run(app, Crew(duties(app, board), board), config)


@main.command(help=words("微信、APNs、FCM、极光的替身（测试与演示用）。", "Stand-ins for WeChat, APNs, FCM, JPush."))
@click.option("--host", default="127.0.0.1", show_default=True, help=words("监听地址。", "Address to listen on."))
@click.option("--port", type=PORT, default=8002, show_default=True, help=words("HTTP/1.1 端口。", "Port, HTTP/1.1."))
@click.option(
    "--apns-port", type=PORT, default=8004, show_default=True, help=words("APNs 的 HTTP/2 端口。", "Port, HTTP/2.")
)
@click.option("--callback-url", default="", help=words("微信消息推送的地址。", "Where WeChat's message push goes."))
@click.option("--webhook-secret", "secrets", multiple=True, help=words("接收端的密钥 whsec_…。", "Secrets of /hooks."))
def sandbox(**options: Any) -> None:
    """Every provider's stand-in until Ctrl-C."""
    from service.sandbox.command import main as serve

    serve(**options)


@main.command(help=words("输出 Webhook 事件的 AsyncAPI 文档。", "Print the AsyncAPI document of the webhooks' events."))
def events() -> None:
    """`docs/asyncapi.json`."""
    from service.notify.catalogue import asyncapi

    click.echo(json.dumps(asyncapi(), ensure_ascii=False, indent=2))


@main.command(help=words("对运行中的系统演练。", "Rehearse against a running installation."))
@click.option("--members", type=MEMBERS, required=True, help=words("模拟成员数。", "Synthetic members."))
@click.option(
    "--activity",
    type=click.IntRange(1),
    help=words(
        "演练此活动的副本；缺省为首场主题党日。", "Rehearse a copy of this activity; without, the founding day."
    ),
)
@click.option(
    "--curve",
    type=click.Choice(["burst", "founding-day", "ramp"]),
    default="founding-day",
    show_default=True,
    help=words("进入曲线。", "How they arrive."),
)
@click.option("--arrival", type=SECONDS, help=words("进入用时（秒）。", "Seconds over which they arrive."))
@click.option(
    "--plateau",
    type=SECONDS,
    default=20.0,
    show_default=True,
    help=words("观看用时（秒）。", "Seconds that they watch."),
)
@click.option(
    "--second-devices", type=SHARE, default=0.0, help=words("用两台设备的比例。", "Share with a second device.")
)
@click.option(
    "--drop", type=SHARE, default=0.0, help=words("中途同时掉线并重连的比例。", "Share that drops at once and returns.")
)
@click.option(
    "--url", help=words("网页进程的地址，默认取自配置。", "Address of the web process; taken from the settings.")
)
@click.option("--json", "as_json", is_flag=True, help=words("最后一行输出 JSON。", "Last line: the figures as JSON."))
@RUNNING
def rehearse(url: str | None, as_json: bool, running: Path | None, arrival: float | None, **wishes: Any) -> None:
    """Synthetic members through the real path; needs the installation's settings."""
    from service.live.rehearsal import GeneratorError
    from service.rehearsing import Wishes, rehearse_against

    wished = Wishes(arrival_seconds=arrival, plateau_seconds=wishes.pop("plateau"), **wishes)
    reports = (running or OWN_DATA) / "reports"
    with refusals(), outages():
        config = settings(running)
        url = url or config.web_url or f"http://127.0.0.1:{config.web_port}"
        try:
            agreed = rehearse_against(config, url.rstrip("/"), wished, reports=reports, as_json=as_json)
        except ServiceError as error:
            raise click.ClickException(told(error)) from None
        except GeneratorError as error:
            raise click.ClickException(str(error)) from None
    sys.exit(0 if agreed else 1)


@main.group(help=words("数据库。", "The database."))
def db() -> None:
    """Schema changes."""


@db.command(help=words("把表结构升级到最新。", "Bring the schema up to date."))
@RUNNING
def upgrade(running: Path | None) -> None:
    """Run the migrations that have not run yet."""
    from flask_migrate import upgrade as migrate_up

    from service.app import create_core

    with refusals(), outages(), create_core(settings(running)).app_context():
        migrate_up(directory=str(HERE / "service" / "migrations"))


@db.command(
    help=words(
        "授权应用所用的数据库角色（由表的所有者在每次升级后执行）。",
        "Let a role do what the application does; said by the tables' owner after each upgrade.",
    )
)
@click.argument("role")
@RUNNING
def grant(role: str, running: Path | None) -> None:
    """A role that owns nothing and cannot change the audit log."""
    from service.audit.role import RoleError, admit

    with within(running):
        try:
            admit(role)
        except RoleError as error:
            raise click.ClickException(str(error)) from None


@main.group("import", help=words("导入数据。", "Import data."))
def import_() -> None:
    """Files into tables."""


@import_.command(help=words("导入行政区划 CSV。", "Import administrative divisions from CSV."))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@RUNNING
def divisions(file: Path, running: Path | None) -> None:
    """May be repeated; rows that are there are brought up to date."""
    from service.app import create_core
    from service.org.divisions import DivisionsError, import_divisions

    with refusals(), outages(), create_core(settings(running)).app_context():
        try:
            count = import_divisions(file)
        except DivisionsError as error:
            raise click.ClickException(str(error)) from None
    click.echo(words(f"已导入 {count} 行", f"imported {count} rows"))


def become_gunicorn(process: str) -> None:
    """Turn this process into gunicorn with the settings file of `process`."""
    settings()
    arguments = [sys.executable, "-m", "gunicorn", "-c", str(HERE / "deploy" / "gunicorn" / f"{process}.py")]
    os.chdir(HERE)
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell is wanted


for group in (attendance, audit, certificate, division, keys, organisation, organiser, person, register, roster):
    main.add_command(group)
import_.add_command(import_organisations)

if __name__ == "__main__":
    main()

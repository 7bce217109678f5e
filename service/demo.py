"""`chunshui demo`: the founding day on this machine, with synthetic members and a wall to watch it on."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segno
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from service import clock, founding
from service.app import create_core
from service.config import PRODUCTION_WECHAT, Config
from service.extensions import db
from service.language import english, words
from service.live.rehearsal import Plan, Progress, Result, run
from service.reckoning import settle
from service.supervisor import Installation, installed, kept_secret
from service.watching import Watcher

MEMBERS_PER_WORKER = 15_000
LOGIN = "chengdu"
BAR_WIDTH = 40
PHASES = {
    "arriving": "陆续进入", "inside": "全部在线", "plateau": "观看与签到", "staying": "观看中，按 Ctrl-C 结束",
    "held": "观看结束", "leaving": "离开", "gone": "已全部离开",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the terminal asked for."""

    members: int
    leave: bool
    json: bool
    lan: bool
    data_dir: Path


def hold(wishes: Wishes, console: Console) -> bool:
    """Run the demo to its end; whether the figures of all sides agreed."""
    console.print(words("启动 PostgreSQL、Valkey 与各进程 …", "starting PostgreSQL, Valkey and the processes …"))
    with installed(settings(wishes), data_dir=wishes.data_dir, say=console.print, sandbox=True) as installation:
        password = kept_secret(wishes.data_dir / "organiser_password")
        with prepared(installation.config, password) as day:
            tell(console, installation, wishes, day, password)
            plan = plan_of(installation.config, local_url(installation), day, wishes.members, stay=not wishes.leave)
            seat = Watcher(plan.url, cookie=founding.seat(LOGIN, installation.config, clock.now()))
            figures = watched(plan, day, seat, console, lambda: installation.keep_running(console.print))
    show(console, figures, as_json=wishes.json)
    return bool(figures["agreed"])


@contextmanager
def prepared(config: Config, password: str) -> Iterator[founding.Enactment]:
    """A fresh enactment with its organiser, within an application's context."""
    with connected(config):
        day = founding.load(clock.now())
        founding.enrol_organiser(LOGIN, password, day.root, clock.now())
        yield day


@contextmanager
def connected(config: Config) -> Iterator[None]:
    """An application's context, whose connections are given back at the end."""
    with create_core(config).app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def watched(
    plan: Plan, day: founding.Enactment, watcher: Watcher, console: Console, beat: Callable[[], None]
) -> dict[str, Any]:
    """Rehearse `plan` before an organiser's eyes; the figures of all sides at the end."""
    watcher.watch(day.stream)
    try:
        result = rehearse(plan, watcher, console, beat)
        return settle(day, result, watcher)
    finally:
        watcher.close()


def settings(wishes: Wishes) -> dict[str, str]:
    """The demo's own settings, over those of the environment."""
    workers = max(os.cpu_count() or 1, -(-wishes.members // MEMBERS_PER_WORKER))
    host = "0.0.0.0" if wishes.lan else "127.0.0.1"
    return {
        "DEMO": "true",
        # The demo's organiser is whoever reads the terminal.
        "SECOND_FACTOR_REQUIRED": "false",
        "WECHAT_APPID": "wx00000000000demo",
        "WECHAT_SECRET": kept_secret(ready(wishes.data_dir) / "wechat_secret"),
        "WEBHOOK_PRIVATE_ADDRESSES": "true",
        "GATEWAY_WORKERS": str(workers),
        "GATEWAY_HOST": host,
        "WEB_HOST": host,
    }


def ready(folder: Path) -> Path:
    """`folder`, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plan_of(config: Config, url: str, day: founding.Enactment, members: int, *, stay: bool) -> Plan:
    """The founding day's plan for so many members, who are enrolled if they are not yet.

    They log in with codes of the sandbox; where the real WeChat stands in its place they bring their tokens.
    """
    if config.wechat_api_url == PRODUCTION_WECHAT:
        crowd = founding.ticketed(members, config=config, now=clock.now(), below=day.invited)
    else:
        crowd = founding.candidates(members, secret=config.secret_key, now=clock.now(), below=day.invited)
    return Plan(
        gateway_url=config.gateway_url or f"http://127.0.0.1:{config.gateway_port}",
        url=url,
        wechat_api_url=config.wechat_api_url,
        stream=day.stream,
        activity=day.activity,
        members=tuple(crowd),
        arrival_seconds=max(20.0, members / 150),
        plateau_seconds=60.0 if stay else 20.0,
        stay=stay,
    )


def tell(console: Console, installation: Installation, wishes: Wishes, day: founding.Enactment, password: str) -> None:
    """Print the addresses, the log-in and the QR code of the phone page."""
    url = public_url(installation, lan=wishes.lan)
    phone = f"{url}/m/?activity={day.activity}"
    console.print()
    console.print(words(f"大屏    [bold]{url}/[/]", f"wall    [bold]{url}/[/]"))
    console.print(words(f"登录    {LOGIN} / {password}", f"log in  {LOGIN} / {password}"))
    console.print(words(f"手机页  [bold]{phone}[/]", f"phone   [bold]{phone}[/]"))
    if not wishes.json:
        segno.make(phone, error="l").terminal(compact=True)


def rehearse(plan: Plan, watcher: Watcher, console: Console, beat: Callable[[], None]) -> Result:
    """Run the members through the day and show how it goes; `beat` is called several times a second."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def report(progress: Progress) -> None:
            beat()
            live.update(panel(progress, watcher.figures))

        return run(plan, report)


def panel(progress: Progress, figures: dict[str, Any]) -> Table:
    """Progress as the terminal shows it: the members' own count, and beside it the wall's."""
    table = Table(box=None, show_header=False)
    tally = progress.tally
    phase = progress.phase if english() else PHASES.get(progress.phase, progress.phase)
    table.add_row(words("阶段", "phase"), f"{phase}  {progress.seconds:.0f} s")
    gone = max(0, tally.devices - tally.connections) if progress.phase in ("leaving", "gone") else 0
    bars = [
        (words("参与", "joined"), tally.joined, tally.members, figures.get("joined", "…")),
        (words("在线", "online"), tally.online, tally.members, f"[bold green]{figures.get('online', '…')}[/]"),
        (words("连接", "connections"), tally.connections, tally.devices, figures.get("connections", "…")),
        (words("签到", "checked in"), tally.checked_in, tally.members, figures.get("checked_in", "…")),
        (words("离开", "left"), gone, tally.devices, ""),
    ]
    for name, done, total, shown in bars:
        bar = ProgressBar(total=max(1, total), completed=done, width=BAR_WIDTH)
        table.add_row(name, bar, f"{done:,} / {total:,}", words("大屏", "wall") if shown != "" else "", str(shown))
    table.add_row(words("依据", "basis"), f"{figures.get('basis', '…')}  {figures.get('as_of', '')}")
    return table


def show(console: Console, figures: dict[str, Any], *, as_json: bool) -> None:
    """Print the final figures: a table, or one JSON object on the last line of standard output."""
    if as_json:
        sys.stdout.write(json.dumps(figures, ensure_ascii=False, default=str) + "\n")
        return
    table = Table(title=words("收尾数字", "final figures"))
    for heading in (words("数字", "figure"), "PostgreSQL", words("组织方", "feed"), words("成员自计", "members"), ""):
        table.add_column(heading)
    for name, agrees in figures["agreement"].items():
        sides = (figures.get(name), figures["feed"].get(name), figures["members"].get(name))
        table.add_row(name, *("" if side is None else str(side) for side in sides), "✓" if agrees else "✗")
    console.print(table)
    if guests := figures["guests"]["joined"]:
        console.print(
            words(f"其中访客 {guests} 位，不在成员自计之内", f"{guests} of them guests, whom the members did not count")
        )


def local_url(installation: Installation) -> str:
    """The web process as this machine reaches it."""
    return f"http://127.0.0.1:{installation.config.web_port}"


def public_url(installation: Installation, *, lan: bool) -> str:
    """The web process as a phone in the same network reaches it, if it may."""
    return f"http://{own_address() if lan else '127.0.0.1'}:{installation.config.web_port}"


def own_address() -> str:
    """This machine's address in the local network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])

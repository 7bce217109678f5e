"""Commands of people: the keys of their numbers."""

from pathlib import Path

import click

from service.clock import now as read_clock
from service.errors import ServiceError
from service.language import words
from service.terminal import RUNNING, outages, refusals, settings, told


@click.group(help=words("手机号与身份证号的密钥。", "Keys of phone and identity numbers."))
def keys() -> None:
    """Which keys have sealed what, and changing them."""


@keys.command("show", help=words("各密钥加密的号码数。", "How many numbers each key has sealed."))
@RUNNING
def show_keys(running: Path | None) -> None:
    """A line for each key of the settings and of the database."""
    from service.app import create_core
    from service.org.people.rotation import by_key

    config = settings(running)
    with refusals(), outages(), create_core(config).app_context():
        counts = by_key()
    ring = config.keyring
    known = [key.id for key in ring.keys]
    for key in [*known, *sorted(set(counts) - set(known))]:
        note = words("当前", "current") if key == ring.current.id else "" if key in known else words("未知", "unknown")
        click.echo(f"{key}\t{counts.get(key, 0)}\t{note}")


@keys.command(
    help=words("用当前密钥重新加密全部号码；可中断、可续。", "Seal every number with the current key; may be resumed.")
)
@click.option("--batch", type=click.IntRange(1, 100_000), default=2_000, show_default=True)
@RUNNING
def rotate(batch: int, running: Path | None) -> None:
    """Exit code 1 if rows remain that cannot be opened or are doubled."""
    from rich.progress import Progress

    from service.app import create_core
    from service.org.people import rotation

    config = settings(running)
    with refusals(), outages(), create_core(config).app_context(), Progress() as bar:
        counts, current = rotation.by_key(), config.keyring.current.id
        task = bar.add_task(words("重新加密", "sealing"), total=sum(counts.values()) - counts.get(current, 0))
        done = rotation.rotate(
            config.keyring, batch=batch, progress=lambda count: bar.advance(task, count), now=read_clock()
        )
    click.echo(words(f"已重新加密 {done.done} 个号码", f"sealed {done.done} numbers anew"))
    for name, places in (("broken", done.broken), ("doubled", done.doubled)):
        for member, kind in places:
            click.echo(f"{name}: {kind}, member {member}", err=True)
    if done.broken or done.doubled:
        raise SystemExit(1)


@click.group(help=words("流动党员活动证。", "Certificates of activity."))
def certificate() -> None:
    """What another branch needs to check one; no installation, no database."""


@certificate.command(help=words("离线核验活动证。", "Verify a certificate offline."))
@click.argument("token")
@click.option(
    "--keys",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help=words("公钥文件（/api/v1/certificates/keys 的内容）。", "What /api/v1/certificates/keys said, as a file."),
)
def verify(token: str, file: Path) -> None:
    """Exit code 1 unless one of the keys signed it and it is good now."""
    import json

    from service.clock import now
    from service.org.people import certificates

    try:
        claims = certificates.verify(token, json.loads(file.read_text())["keys"], now())
    except ServiceError as error:
        raise click.ClickException(told(error)) from None
    except (ValueError, KeyError, TypeError):
        raise click.ClickException(words("公钥文件有误", "not a file of keys")) from None
    click.echo(json.dumps(claims, ensure_ascii=False, indent=2))

"""`chunshui audit`: verify the audit log, print its anchors, ask what somebody did."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.clock import now as read_clock
from service.language import words
from service.terminal import RUNNING, within

if TYPE_CHECKING:
    from service.audit.verifying import Report

SHOWN = 50
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(help=words("审计日志。", "The audit log."))
def audit() -> None:
    """Who did what; and whether the log still says so."""


@audit.command(
    help=words("校验审计日志；发现改动时退出码为 1。", "Verify the log; exit code 1 if anything was touched.")
)
@click.option("--anchors", type=FILE, help=words("另存的锚点副本。", "Copies of the anchors, kept elsewhere."))
@click.option(
    "--public-key",
    "files",
    type=FILE,
    multiple=True,
    help=words("锚点签名公钥（PEM）。", "Public key of the anchors, as PEM; may be repeated."),
)
@click.option("--json", "as_json", is_flag=True, help=words("输出一行 JSON。", "One line of JSON."))
@RUNNING
def verify(anchors: Path | None, files: tuple[Path, ...], as_json: bool, running: Path | None) -> None:
    """Every entry, anchor and waiting note."""
    from service.audit import keys, verifying
    from service.audit.anchors import AnchorsError, read

    with within(running) as config:
        try:
            copies = list(read(anchors.read_text().splitlines())) if anchors else []
            signers = keys.public_keys(config, files)
        except (AnchorsError, keys.KeyFileError) as error:
            raise click.ClickException(str(error)) from None
        report = verifying.verify(keys.chain_keys(config), signers, copies=copies, now=read_clock())
    click.echo(json.dumps(as_facts(report)) if as_json else "\n".join(as_lines(report)))
    sys.exit(1 if report.findings else 0)


def as_facts(report: "Report") -> dict[str, Any]:
    """A report for machines."""
    facts = vars(report) | {"findings": [{"kind": one.kind, "where": one.where} for one in report.findings]}
    return facts | {"whole": not report.findings}


def as_lines(report: "Report") -> Iterable[str]:
    """A report for the terminal; the first findings and how many more there are."""
    yield from (str(finding) for finding in report.findings[:SHOWN])
    if len(report.findings) > SHOWN:
        yield words(f"… 另有 {len(report.findings) - SHOWN} 项", f"… and {len(report.findings) - SHOWN} more")
    verdict = words("发现问题", "touched") if report.findings else words("完整", "whole")
    yield words(
        f"记录 {report.first}–{report.last} 共 {report.entries} 条，锚点 {report.anchors} 个"
        f"（覆盖至 {report.anchored}），待封存 {report.waiting} 条：{verdict}",
        f"{report.entries} entries, {report.first} to {report.last}; {report.anchors} anchors, up to entry "
        f"{report.anchored}; {report.waiting} notes wait: {verdict}",
    )


@audit.command(
    help=words("输出全部锚点，每行一个 JSON，请另存他处。", "Print every anchor as JSON, to be kept elsewhere.")
)
@RUNNING
def anchors(running: Path | None) -> None:
    """One line an anchor."""
    from service.audit.anchors import stored

    with within(running):
        for anchor in stored():
            click.echo(anchor.line())


@audit.command(help=words("输出锚点签名公钥（PEM）。", "Print the public key of the anchors as PEM."))
@RUNNING
def key(running: Path | None) -> None:
    """For who verifies elsewhere."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from service.audit.keys import KeyFileError, signing_key

    with within(running) as config:
        try:
            public = signing_key(config).public_key()
        except KeyFileError as error:
            raise click.ClickException(str(error)) from None
    click.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), nl=False)


@audit.command(help=words("查询某人的操作及涉及此人的操作。", "What somebody did, and what was done to him."))
@click.argument("kind", type=click.Choice(["member", "organiser", "login", "client"]))
@click.argument("which")
@RUNNING
def trace(kind: str, which: str, running: Path | None) -> None:
    """Entries by pseudonym; the newest last."""
    from service.audit.notes import Party
    from service.audit.tracing import traced

    with within(running) as config:
        for line in traced(Party(kind, which), config):
            click.echo(line)

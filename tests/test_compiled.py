"""Which form of the gateway's modules runs: the compiled one for just this source, or the source itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service import compiled

HERE = Path(__file__).parent.parent


def test_this_run_has_the_form_that_it_asks_for() -> None:
    assert compiled.in_use() == (compiled.folder().is_dir() and not os.environ.get(compiled.PURE))


def test_every_module_named_is_there() -> None:
    assert [name for name in compiled.MODULES if not (compiled.SOURCE / f"{name}.py").is_file()] == []


def test_other_source_has_another_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled.folder()
    for name in compiled.MODULES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(compiled.SOURCE / f"{name}.py", tmp_path / f"{name}.py")
    monkeypatch.setattr(compiled, "SOURCE", tmp_path)
    assert compiled.folder() == before
    with (tmp_path / "live" / "wheel.py").open("a") as source:
        source.write("\n")
    assert compiled.folder() != before


@pytest.mark.parametrize(("made", "pure", "first"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_the_compiled_form_comes_first_where_it_is_made_and_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool, pure: str, first: bool
) -> None:
    home = tmp_path / "home"
    if made:
        home.mkdir()
    monkeypatch.setattr(compiled, "folder", lambda: home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(compiled.PURE, pure)
    path = ["the source"]
    compiled.prefer(path, "service.live")
    assert (path[0] == str(home / "service" / "live")) is first
    assert (str(home) in sys.path) is first
    assert path[-1] == "the source"


def test_without_it_the_gateway_is_run_as_it_is_written() -> None:
    asked = "from service import compiled; import service.live.gateway; print(compiled.in_use())"
    environment = {**os.environ, compiled.PURE: "1"}
    ran = subprocess.run([sys.executable, "-c", asked], cwd=HERE, env=environment, capture_output=True, check=True)
    assert ran.stdout.strip() == b"False"

"""The compiled form of the modules that every join passes through, where `make compile` has made one.

It is made of the same source by mypyc, and used only if it was made of just this source for just this Python: whoever
edits a module runs it as it is written until it is compiled again. Without it everything works, more slowly.
`make` makes it.
"""

import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import MutableSequence
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent
MODULES: Final = (
    "arrays", "tokens", "live/addresses", "live/audience", "live/claims", "live/connection", "live/devices",
    "live/gate", "live/gateway", "live/pace", "live/packets", "live/presence", "live/pressure", "live/protocol",
    "live/sockets", "live/stays", "live/tally", "live/upgrade", "live/websocket", "live/wheel",
)  # fmt: skip
PURE: Final = "CHUNSHUI_PURE"  # set in the environment: run everything as it is written


def folder() -> Path:
    """Where the compiled form of this source belongs, whether it is there or not; beside what pip has installed."""
    digest = hashlib.sha256((sysconfig.get_config_var("EXT_SUFFIX") or "").encode())
    for name in MODULES:
        digest.update((SOURCE / f"{name}.py").read_bytes())
    return Path(sys.prefix) / "chunshui-compiled" / digest.hexdigest()[:16]


def prefer(path: MutableSequence[str], package: str) -> None:
    """Let the modules of `package`, whose search path is `path`, be found in their compiled form first."""
    home = folder()
    if home.is_dir() and not os.environ.get(PURE):
        path.insert(0, str(home.joinpath(*package.split("."))))
        if str(home) not in sys.path:
            sys.path.append(str(home))  # what the modules share lies there


def in_use() -> bool:
    """Whether this process runs the compiled form."""
    from service import tokens

    return not str(tokens.__file__).endswith(".py")


def make() -> None:
    """Compile, if that is not done yet: beside the goal, then put in place whole. Needs a C compiler.

    Forms of older source are left alone: a process that runs may still use them.
    """
    from mypyc.build import mypycify
    from setuptools import setup

    goal = folder()
    if goal.is_dir():
        return
    os.chdir(SOURCE.parent)
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent) as name:
        built = Path(name, "built")
        options = ["--config-file=pyproject.toml", *(f"service/{module}.py" for module in MODULES)]
        modules = mypycify(options, opt_level="2", group_name="chunshui", target_dir=f"{name}/c")
        arguments = ["--quiet", "build_ext", "--build-lib", str(built), "--build-temp", f"{name}/o"]
        setup(name="chunshui-compiled", packages=[], ext_modules=modules, script_args=arguments)
        shutil.move(built, goal)

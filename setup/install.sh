#!/bin/sh
# install.sh VENV HOME: programs in HOME/bin, library in HOME/lib, an empty home with its queue.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
venv=$(cd "$1" && pwd)
python=$(readlink -f "$venv/bin/python")
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
exec "$python" "$top/setup/install.py" "$2" "$top/src" "$site"

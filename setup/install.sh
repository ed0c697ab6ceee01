#!/bin/sh
# install.sh VENV HOME: programs in HOME/bin, library in HOME/lib, an empty home with its queue.
# The library is copied, so that every qmail user can read it wherever the checkout stands.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
venv=$(cd "$1" && pwd)
case $2 in /*) home=$2;; *) home=$(pwd)/$2;; esac
python=$(readlink -f "$venv/bin/python")
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
umask 022
PYTHONPATH=$top/src "$python" -c 'import sys, os
from qmail.stores.installation import create
from qmail.host.program import ended
sys.exit(ended(b"setup", lambda: create(os.fsencode(sys.argv[1])) or 0))' "$home"
new=$home/lib/.new.$$
rm -rf "$new" && mkdir -p "$new"
cp -R "$top/src/qmail" "$site/dns" "$new/"
find "$new" -name __pycache__ -type d -prune -exec rm -rf {} +
for part in qmail dns; do
  rm -rf "$home/lib/.old.$part"
  [ ! -e "$home/lib/$part" ] || mv "$home/lib/$part" "$home/lib/.old.$part"
  mv "$new/$part" "$home/lib/$part"
  rm -rf "$home/lib/.old.$part"
done
rmdir "$new"
"$python" -m compileall -q "$home/lib"
"$python" "$top/setup/launchers.py" "$home/bin" "$home/lib" "$python" "$home/lib"

#!/bin/sh
# environment.sh DIR [REQUIREMENTS...]: a virtual environment with our libraries, from the best interpreter here.
# Debian's python3 is an optimised build and often twice as fast as a self-made one, so it goes first.
set -eu
dir=$1; shift
here=$(cd "$(dirname "$0")" && pwd)

good() { "$1" -c 'import sys, ssl, fcntl, select; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ -z "${PYTHON:-}" ]; then
  for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null 2>&1 && good "$python"; then PYTHON=$(command -v "$python"); break; fi
  done
fi
if [ -z "${PYTHON:-}" ] || ! good "$PYTHON"; then
  echo "pyqmail needs Python 3.11 or newer with ssl; install it, or say where it is: make PYTHON=/path/to/python3" >&2
  exit 1
fi

stamp=$dir/.stamp-$#
want=$(cat "$@" "$here/requirements-extra.txt" | cksum; echo "$PYTHON")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi
if [ ! -x "$dir/bin/python" ]; then
  "$PYTHON" -m venv "$dir" 2>/dev/null || "$PYTHON" -m venv --clear --without-pip "$dir"
fi
install() {
  if "$dir/bin/python" -m pip --version >/dev/null 2>&1; then "$dir/bin/python" -m pip "$@"
  else
    # An interpreter without ensurepip (Debian without python3-venv): any other pip can fill the environment.
    for python in python3 pip; do
      if [ "$python" = pip ]; then command -v pip >/dev/null 2>&1 && pip --python "$dir/bin/python" "$@" && return
      else "$python" -m pip --version >/dev/null 2>&1 && "$python" -m pip --python "$dir/bin/python" "$@" && return
      fi
    done
    echo "no pip was found; on Debian: apt-get install python3-venv" >&2; return 1
  fi
}
set -- $(printf -- '-r %s ' "$@")
install install --quiet --quiet --disable-pip-version-check --root-user-action=ignore "$@"
# What one feature needs and not every machine has made for it: without it, that feature says so.
install install --quiet --quiet --disable-pip-version-check --root-user-action=ignore --only-binary :all: \
  -r "$here/requirements-extra.txt" || echo "argon2-cffi cannot be had here: passwords are hashed by crypt(3)" >&2
echo "$want" > "$stamp"

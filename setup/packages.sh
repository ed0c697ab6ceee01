#!/bin/sh
# packages.sh DIR: daemontools and ucspi-tcp as archives, for those who install them as packages of their own.
# They hold no programs: they give those of /var/qmail/bin the places where each package has them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
to=$(cd "$1" && pwd)
cd "$here/packages"
pack() { tar --sort=name --owner=0 --group=0 --mtime=@0 -czf "$to/$1.new" "$2" && mv "$to/$1.new" "$to/$1" && echo "$to/$1"; }
pack daemontools-0.76.tar.gz admin
pack ucspi-tcp-0.88.tar.gz ucspi-tcp-0.88

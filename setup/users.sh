#!/bin/sh
# users.sh: the groups and users of qmail, as root; those that are there stay as they are.
set -eu
home=${1:-/var/qmail}
group() { getent group "$1" >/dev/null || groupadd "$1"; }
user() { getent passwd "$1" >/dev/null || useradd -M -d "$3" -s /bin/false -g "$2" "$1"; }
group nofiles
group qmail
user alias nofiles "$home/alias"
for name in qmaild qmaill qmailp qmailt qmailc; do user $name nofiles "$home"; done
for name in qmailq qmailr qmails; do user $name qmail "$home"; done

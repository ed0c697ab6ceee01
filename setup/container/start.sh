#!/bin/sh
# start: the whole system as one ordinary user, in the foreground, its log on standard output; TERM stops it.
# What is missing in the home is made; what is there stays as it is, but for the services.
#
# MAIL_HOST: the name of this system (default: the machine's). MAIL_PORT: default 2525. QMAIL_HOME: /srv/qmail.
# QMAIL_PROGRAMS: where `make setup` installed, /opt/qmail.
set -eu
programs=${QMAIL_PROGRAMS:-/opt/qmail}
home=${QMAIL_HOME:-/srv/qmail}
port=${MAIL_PORT:-2525}
if [ "$(id -u)" = 0 ]; then echo "start: this is for an ordinary user, not for root" >&2; exit 111; fi
PATH=$programs/bin:/usr/bin:/bin; QMAIL_HOME=$home
export PATH QMAIL_HOME
umask 022

make_home() {
  python3 -IS - "$programs/lib" "$home" <<'END'
import os, sys
sys.path.insert(0, sys.argv[1])
from qmail.host.program import ended
from qmail.stores.configuration import announce
from qmail.stores.installation import create
home = os.fsencode(sys.argv[2])
sys.exit(ended(b"start", lambda: create(home) or announce(home) or 0))
END
}

service() { # NAME, and the command
  mkdir -p "$home/service/$1"
  printf '#!/bin/sh\nexec 2>&1\nexec env - QMAIL_HOME=%s PATH=%s %s\n' "$home" "$PATH" "$2" >"$home/service/$1/run.new"
  chmod 755 "$home/service/$1/run.new"
  mv "$home/service/$1/run.new" "$home/service/$1/run"
}

[ -L "$home/bin" ] || ln -s "$programs/bin" "$home/bin"
make_home
[ -f "$home/control/me" ] || config-fast "${MAIL_HOST:-$(hostname)}"
[ -d "$home/alias/Maildir" ] || maildirmake "$home/alias/Maildir"
[ -f "$home/alias/.qmail-default" ] || echo ./Maildir/ >"$home/alias/.qmail-default"
if [ ! -f "$home/users/assign" ]; then
  printf '+:post:%s:%s:%s/alias:-::\n.\n' "$(id -u)" "$(id -g)" "$home" >"$home/users/assign"
fi
qmail-newu
[ -f "$home/tcp.smtp" ] || echo :allow >"$home/tcp.smtp"
tcprules "$home/tcp.smtp.cdb" "$home/tcp.smtp.tmp" <"$home/tcp.smtp"
service queued qmail-queued
service rcptd qmail-rcptd
[ ! -f "$home/control/callforward" ] || service verifyd qmail-verifyd
[ ! -f "$home/control/rcptcheck" ] || service checkd qmail-checkd
[ ! -f "$home/control/servercert.pem" ] || service tlsd qmail-tlsd
service send 'qmail-start ./Maildir/'
service smtpd "tcpserver -vRH -l 0 -c 200 -x $home/tcp.smtp.cdb 0 $port $home/bin/qmail-smtpd"
exec svscan --stop "$home/service"

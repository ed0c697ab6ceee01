"""What `qmail setup` writes: run and log/run of its services, the unit that starts them, and the first rules."""

from __future__ import annotations

NAMES = (b"queued", b"send", b"rcptd", b"smtpd")
SECURE = (b"tlsd", b"authd", b"submission", b"smtps")  # where there is a certificate
# Service, and the control file without which it has nothing to do.
WANTED = ((b"checkd", b"rcptcheck"), (b"verifyd", b"callforward"))
RULES = b"""# Who may connect, and send to other hosts. After a change, as root:
#   tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp < /etc/tcp.smtp
127.:allow,RELAYCLIENT=""
[::1]:allow,RELAYCLIENT=""
:allow
"""
COMMANDS = {
    b"queued": b"# Takes messages into the queue, as qmailq.\nexec qmail-queued\n",
    b"send": b"# Delivers what is in the queue. A user without a .qmail has a Maildir.\nexec qmail-start ./Maildir/\n",
    b"rcptd": b"# Knows which recipients there are, for smtpd.\nexec setuidgid qmailp qmail-rcptd\n",
    b"checkd": b"# Runs control/rcptcheck for rcptd, as qmailc.\nexec qmail-checkd\n",
    b"verifyd": b"# Asks other hosts about their recipients, for rcptd.\nexec setuidgid qmailr qmail-verifyd\n",
    b"tlsd": b"# Has the keys, and speaks TLS for qmail-smtpd: root reads them, qmailt uses them.\nexec qmail-tlsd\n",
    b"smtpd": b"""# SMTP from the network, as qmaild.
LOCAL=`head -n 1 %b/control/me`
exec tcpserver -v -R -H -l "$LOCAL" -x /etc/tcp.smtp.cdb -c 200 \\
-u `id -u qmaild` -g `id -g qmaild` 0 smtp %b/bin/qmail-smtpd
""",
    b"authd": b"# Knows who may log in (qmail password NAME).\nexec setuidgid qmailp qmail-authd\n",
    b"submission": b"""# Mail from users who have logged in, after STARTTLS.
SMTPAUTH='!'; export SMTPAUTH
LOCAL=`head -n 1 %b/control/me`
exec tcpserver -v -R -H -l "$LOCAL" -c 100 \\
-u `id -u qmaild` -g `id -g qmaild` 0 587 %b/bin/qmail-smtpd
""",
    b"smtps": b"""# The same, where TLS comes first.
SMTPAUTH='!'; SMTPS=1; export SMTPAUTH SMTPS
LOCAL=`head -n 1 %b/control/me`
exec tcpserver -v -R -H -l "$LOCAL" -c 100 \\
-u `id -u qmaild` -g `id -g qmaild` 0 465 %b/bin/qmail-smtpd
""",
}


def run(home: bytes, name: bytes) -> bytes:
    """The run script of a service of this installation."""
    command = COMMANDS[name]
    return _head(home) + b"exec 2>&1\n" + (command % (home, home) if b"%b" in command else command)


def log_run(home: bytes, directory: bytes) -> bytes:
    """The script of its log, which multilog keeps in `directory` and turns over by itself."""
    return _head(home) + b"exec setuidgid qmaill multilog t s1000000 n20 " + directory + b"\n"


def unit(home: bytes, services: bytes) -> bytes:
    """The systemd unit that keeps svscan running over `services`."""
    return b"""[Unit]
Description=qmail: svscan and the services below %b
After=network.target

[Service]
Environment=PATH=%b/bin:/usr/local/bin:/usr/bin:/bin
ExecStart=%b/bin/svscan --stop %b
KillMode=mixed
TimeoutStopSec=300
Restart=always

[Install]
WantedBy=multi-user.target
""" % (services, home, home, services)


def _head(home: bytes) -> bytes:
    return b"#!/bin/sh\nPATH=%b/bin:/usr/local/bin:/usr/bin:/bin; export PATH\n" % home

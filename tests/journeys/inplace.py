"""A mount namespace in which a host is where everybody looks for it.

Its home is /var/qmail, its sendmail /usr/sbin/sendmail, and its users have accounts.
"""

from __future__ import annotations

from journeys.conftest import Host, User

MOUNTS = """set -e
mount -t tmpfs -o mode=755 none /var
mkdir -p /var/qmail /var/mail /var/tmp /var/spool/cron/crontabs /var/lib
chmod 1777 /var/tmp; ln -s /run /var/run
mount --bind {home} /var/qmail
mount --bind {home}/bin/sendmail /usr/sbin/sendmail
mount --bind {passwd} /etc/passwd
{more}
exec "$@"
"""


def inside(host: Host, *options: str, more: str = "") -> list[str]:
    """What stands in front of a command that is to run there. `options` of unshare; `more`: further shell commands."""
    passwd = host.home.parent / "passwd"
    with open("/etc/passwd") as file:
        lines = file.read()
    for user in host.users:
        lines += f"{user.name}:*:{user.uid}:{user.gid}:{user.name.capitalize()} Example,,,:{user.home}:/bin/sh\n"
    passwd.write_text(lines)
    script = MOUNTS.format(home=host.home, passwd=passwd, more=more)
    return ["unshare", "--mount", *options, "sh", "-c", script, "sh"]


def logged_in(user: User) -> list[str]:
    """What stands in front of a command that this user is to run, as after a login; behind `inside`."""
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--reset-env"]

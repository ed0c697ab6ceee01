"""The first process of a machine of its own: a copy of this one's files, no network but loopback, and nobody else.

Started by `unshare` in new namespaces, as root. It makes the file system (what is written goes to memory),
the addresses, syslog and a name server, says `ready`, and takes in orphans until its input ends; its end is
the end of every process inside. The zone is JSON in the first argument: [[name, type, [record...]]...].
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

ADDRESSES = ["127.0.0.2/8", "192.168.1.1/24", "192.168.1.2/24", "192.168.1.3/24", "10.1.1.1/32", "10.1.1.2/32",
             "10.1.1.3/32", "1.2.3.4/32"]  # fmt: skip
OLD = ["alias", "qmaild", "qmaill", "qmailp", "qmailq", "qmailr", "qmails", "qmailt", "qmailc"]


def run(*words: str, fine: tuple[int, ...] = (0,)) -> None:
    """One command of the set-up."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode in fine, (words, done.stderr)


def files(place: str) -> None:
    """Become the root of a copy of `/`."""
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", place)
    for name in ("upper", "work", "root"):
        os.mkdir(f"{place}/{name}")
    root = f"{place}/root"
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={place}/upper,workdir={place}/work", root)
    if os.stat(TOP).st_dev != os.stat("/").st_dev:
        run("mount", "--bind", str(TOP), root + str(TOP))
    run("mount", "-t", "proc", "proc", root + "/proc")
    run("mount", "-t", "tmpfs", "none", root + "/run")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "none", root + "/dev")
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(f"{root}/dev/{name}", 0o020666, os.makedev(1, minor))
        os.chmod(f"{root}/dev/{name}", 0o666)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{target}", f"{root}/dev/{name}")
    os.chroot(root)
    os.chdir("/")


def syslog() -> None:
    """What comes to /dev/log is appended to /var/log/syslog.chapter."""
    station = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    station.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def listen() -> None:
        with open("/var/log/syslog.chapter", "ab", buffering=0) as log:
            while True:
                log.write(station.recv(65536).rstrip(b"\0\n") + b"\n")

    threading.Thread(target=listen, daemon=True).start()


def main() -> None:
    """Set up, say so, wait."""
    from nameserver import NameServer

    zone = {(name, kind): records for name, kind, records in json.loads(sys.argv[2])}
    files(sys.argv[1])
    run("ip", "link", "set", "lo", "up")
    for address in ADDRESSES:
        run("ip", "address", "add", address, "dev", "lo")
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    run("rm", "-rf", "/var/qmail", "/service", "/package", "/command", "/etc/inittab", "/var/log/qmail")
    for name in OLD:
        run("userdel", name, fine=(0, 6))
    for name in ("nofiles", "qmail"):
        run("groupdel", name, fine=(0, 6))
    run("hostname", "mail.example.com")
    syslog()
    NameServer(zone, port=53)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print("ready", flush=True)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            threading.Event().wait(0.1)


if __name__ == "__main__":
    main()

"""Run by the tests as a process of its own: enters a domain, tries everything, and prints what came of each try.

    confined.py SOURCE HOME DOMAIN PORT ABSTRACT

Prints a dictionary: name of the try to errno, 0 where it worked; and before it one of the calls without a domain.
"""

from __future__ import annotations

import _socket
import ctypes
import os
import signal
import sys
from collections.abc import Callable

sys.path.insert(0, sys.argv[1])

from qmail.host import sandbox, syscalls
from qmail.stores import confinement
from qmail.stores.home import Home

CLONE_NEWUSER = 0x10000000
LIBRARY = ctypes.CDLL(None, use_errno=True)
COLUMN = syscalls.MACHINES[os.uname().machine].column
HARMLESS = (
    "ptrace", "process_vm_readv", "mount", "umount2", "pivot_root", "unshare", "setns", "open_by_handle_at",
    "io_uring_setup", "keyctl", "bpf", "perf_event_open", "userfaultfd", "kexec_load", "init_module", "swapon",
)  # fmt: skip


def call(number: int, *arguments: int) -> int:
    """The errno of a system call whose arguments make no sense; 0 where it works all the same."""
    ctypes.set_errno(0)
    LIBRARY.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments or (-1,) * 6))
    return ctypes.get_errno()


def tried(act: Callable[[], object]) -> int:
    """The errno of what `act` raises."""
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


def in_child(act: Callable[[], object]) -> int:
    """The same, in a child, where there may be one."""
    try:
        pid = os.fork()
    except OSError as error:
        return error.errno or -1
    if not pid:
        os._exit(tried(act))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def socket(family: int, kind: int = _socket.SOCK_STREAM) -> _socket.socket:
    return _socket.socket(family, kind)


def write(path: bytes) -> None:
    os.close(os.open(path, os.O_WRONLY))


def make(path: bytes) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def move(source: bytes, target: bytes) -> None:
    make(source)
    os.link(source, target)
    os.unlink(source)
    os.unlink(target)


def main() -> None:
    home, port, abstract = Home(os.fsencode(sys.argv[2])), int(sys.argv[4]), os.fsencode(sys.argv[5])
    domains = {
        "smtpd": lambda: confinement.incoming_smtp(home), "remote": lambda: confinement.outgoing_smtp(home),
        "verifyd": lambda: confinement.outgoing_smtp(home, forks=True),
        "dns": confinement.names, "queued": lambda: confinement.acceptance(home),
        "authd": lambda: confinement.logins(home), "authd that asks": lambda: confinement.logins(home, asks=True),
        "tlsd": confinement.keys, "stsd": lambda: confinement.policies(home),
        "fetching": confinement.fetching, "tlsrptd": lambda: confinement.counting(home),
        "clean": lambda: confinement.cleaning(home), "send": lambda: confinement.sending(home),
    }  # fmt: skip
    before = {name: call(syscalls.FORBIDDEN[name][COLUMN]) for name in HARMLESS}
    late = home.file(b"control/late")
    sandbox.enter(domains[sys.argv[3]]())
    queue = home.queue
    found: dict[str, int] = {
        name: call(row[COLUMN]) for name, row in syscalls.FORBIDDEN.items() if row[COLUMN] >= 0
    } | {
        "clone with a namespace": call(syscalls.CLONE[COLUMN], CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0),
        "clone3": call(syscalls.CLONE3[COLUMN]),
        "another machine's call": call(0x40000000 | 39),
        "fork": in_child(lambda: None),
        "run a program": in_child(lambda: os.execv("/bin/true", ["true"])),
        "local socket": tried(lambda: socket(_socket.AF_UNIX)),
        "internet socket": tried(lambda: socket(_socket.AF_INET)),
        "internet 6 socket": tried(lambda: socket(_socket.AF_INET6, _socket.SOCK_DGRAM)),
        "interfaces": tried(lambda: socket(_socket.AF_NETLINK, _socket.SOCK_RAW)),
        "packet socket": tried(lambda: socket(_socket.AF_PACKET, _socket.SOCK_RAW)),
        "vsock": tried(lambda: socket(40)),
        "connect": tried(lambda: socket(_socket.AF_INET).connect(("127.0.0.1", port))),
        "bind": tried(lambda: socket(_socket.AF_INET).bind(("127.0.0.1", port))),
        "bind to any port": tried(lambda: socket(_socket.AF_INET).bind(("127.0.0.1", 0))),
        "qq/socket": tried(lambda: socket(_socket.AF_UNIX).connect(home.file(b"qq/socket"))),
        "abstract socket": tried(lambda: socket(_socket.AF_UNIX).connect(b"\0" + abstract)),
        "signal the parent": tried(lambda: os.kill(os.getppid(), 0)),
        "signal itself": tried(lambda: os.kill(os.getpid(), 0)),
        "read control/me": tried(lambda: open(home.file(b"control/me"), "rb").close()),
        "read what a link leads to": tried(lambda: open(home.file(b"control/helohost"), "rb").close()),
        "replace in control": tried(lambda: os.rename(late, home.file(b"control/me"))),
        "read users/assign": tried(lambda: open(home.file(b"users/assign"), "rb").close()),
        "read /etc/passwd": tried(lambda: open("/etc/passwd", "rb").close()),
        "read /proc": tried(lambda: open("/proc/self/status", "rb").close()),
        "read alias": tried(lambda: open(home.file(b"alias/.qmail-root"), "rb").close()),
        "list alias": tried(lambda: os.listdir(home.file(b"alias"))),
        "read mess": tried(lambda: open(queue + b"/mess/0/23", "rb").close()),
        "list todo": tried(lambda: os.listdir(queue + b"/todo")),
        "write tcpto": tried(lambda: write(queue + b"/lock/tcpto")),
        "write mess": tried(lambda: write(queue + b"/mess/0/23")),
        "write trigger": tried(lambda: os.close(os.open(queue + b"/lock/trigger", os.O_RDWR | os.O_NONBLOCK))),
        "write /dev/null": tried(lambda: write(b"/dev/null")),
        "make in pid": tried(lambda: move(queue + b"/pid/x", queue + b"/pid/y")),
        "from pid to mess": tried(lambda: move(queue + b"/pid/x", queue + b"/mess/1/24")),
        "make in info": tried(lambda: move(queue + b"/info/0/23", queue + b"/bad/info.23")),
        "make in qs": tried(lambda: move(home.file(b"qs/x"), home.file(b"qs/y"))),
        "make in sts": tried(lambda: move(home.file(b"sts/x"), home.file(b"sts/y"))),
        "make in tlsrpt": tried(lambda: move(home.file(b"tlsrpt/x"), home.file(b"tlsrpt/y"))),
        "make in control": tried(lambda: make(home.file(b"control/x"))),
        "make in alias": tried(lambda: make(home.file(b"alias/x"))),
        "make in /tmp": tried(lambda: make(b"/tmp/confined.%d" % os.getpid())),
        "device": tried(lambda: os.mknod(queue + b"/pid/device", 0o20600, os.makedev(1, 5))),
        "late import": tried(lambda: __import__("colorsys")),
    }  # fmt: skip
    print(repr((before, found)))


main()

"""Confinement of a process by itself, for good: no new privileges, a Landlock domain, a seccomp filter.

What the kernel has of the three is used, and the rest left out: `available` tells. A domain names directories,
never files, since files are replaced by rename. What is open already stays usable.

ctypes is loaded by `enter`: only by processes that live long, and where they fork others, before they do
(`prepare`). Kernel interfaces: landlock(7), seccomp(2), linux/filter.h.
"""

from __future__ import annotations

import os
from struct import Struct

from qmail.host.syscalls import CLONE, CLONE3, FORBIDDEN, MACHINES, RUNNING, SOCKET, STARTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

INTERNET = (2, 10)  # AF_INET, AF_INET6
LOCAL = (1,)  # AF_UNIX
INTERFACES = (16,)  # AF_NETLINK

LEAST_ABI = 2  # before it, Landlock forbids every link from one directory to another

_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # on every machine
_CREATE_VERSION, _RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 1, 2
_SET_FILTER, _ACTION_AVAILABLE, _SPEC_ALLOW = 1, 2, 4

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _MAKE_REG, _MAKE_SOCK, _REFER, _TRUNCATE = 1 << 4, 1 << 5, 1 << 8, 1 << 9, 1 << 13, 1 << 14
_READS = _READ_FILE | _READ_DIR
_WRITES = _READ_FILE | _WRITE_FILE | _TRUNCATE
_CHANGES = _READS | _WRITES | _REMOVE_FILE | _MAKE_REG | _MAKE_SOCK | _REFER
_RIGHTS = {2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # of files, by the version that brought them
_BIND_TCP, _CONNECT_TCP = 1, 2  # version 4
_SCOPES = 3  # abstract sockets and signals, version 6

_RULESET, _RULE, _PORT_RULE = Struct("=3Q"), Struct("=Qi"), Struct("=QQ")

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_INSTRUCTION = Struct("=HBBI")
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | 1, _ERRNO | 38
_X32 = 0x40000000
_NAMESPACES = 0x7E020000  # CLONE_NEW*


class Domain:
    """What a process may do. Directories mean everything below them; those that are missing count for nothing.

    `reads`: where it may read, None: everywhere. `writes`: where it may write files that are there.
    `changes`: where it may also make, link, rename and remove files and sockets. `families`: the kinds of
    sockets it may make. `connects`: may it connect by TCP, from a port that the system chooses? `starts`: may it make
    processes and run programs? `forks`: may it make processes, which are confined as it is?
    """

    __slots__ = ("changes", "connects", "families", "forks", "reads", "starts", "writes")

    def __init__(
        self,
        *,
        reads: Sequence[bytes] | None = None,
        writes: Sequence[bytes] = (),
        changes: Sequence[bytes] = (),
        families: Sequence[int] = (),
        connects: bool = False,
        starts: bool = False,
        forks: bool = False,
    ) -> None:
        self.reads, self.writes, self.changes = reads, writes, changes
        self.families, self.connects, self.starts, self.forks = families, connects, starts, forks


class Available:
    """What this kernel has. `landlock`: the version, 0 where it is missing or too old. `seccomp`: filters."""

    __slots__ = ("landlock", "seccomp")

    def __init__(self, landlock: int, seccomp: bool) -> None:
        self.landlock, self.seccomp = landlock, seccomp


class _Kernel:
    """The calls that Python has no names for."""

    def __init__(self) -> None:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        self.ctypes, self.prctl, self.syscall = ctypes, library.prctl, library.syscall
        self.syscall.restype = ctypes.c_long
        self.machine = MACHINES.get(os.uname().machine)

    def call(self, number: int, *arguments: int | bytes | None | ctypes.Array[ctypes.c_char]) -> int:
        """A system call: its result, -1 where it failed."""
        long = self.ctypes.c_long
        result: int = self.syscall(long(number), *(long(a) if isinstance(a, int) else a for a in arguments))
        return result


_kernel: _Kernel | None = None


def prepare() -> None:
    """Load what `enter` needs: before a fork, so that children share it."""
    global _kernel
    _kernel = _kernel or _Kernel()


def available() -> Available:
    """What of it this kernel has."""
    prepare()
    assert _kernel is not None
    return Available(_abi(_kernel), _has_filters(_kernel))


def enter(domain: Domain) -> None:
    """Confine this process, and all that it starts. Never fails: what the kernel refuses is left out."""
    prepare()
    assert _kernel is not None
    zero = _kernel.ctypes.c_ulong(0)
    if _kernel.prctl(_PR_SET_NO_NEW_PRIVS, _kernel.ctypes.c_ulong(1), zero, zero, zero):
        return
    if abi := _abi(_kernel):
        _enter_landlock(_kernel, abi, domain)
    if _has_filters(_kernel):
        _enter_filter(_kernel, domain)


def _abi(kernel: _Kernel) -> int:
    version = kernel.call(_LANDLOCK_CREATE, None, 0, _CREATE_VERSION)
    return version if version >= LEAST_ABI else 0


def _has_filters(kernel: _Kernel) -> bool:
    if kernel.machine is None:
        return False
    action = _ERRNO.to_bytes(4, "little")
    return kernel.call(kernel.machine.seccomp, _ACTION_AVAILABLE, 0, kernel.ctypes.create_string_buffer(action)) == 0


# ---- Landlock


def _enter_landlock(kernel: _Kernel, abi: int, domain: Domain) -> None:
    handled = max(rights for version, rights in _RIGHTS.items() if version <= abi)
    if domain.reads is None:
        handled &= ~_READS
    if domain.starts:
        handled &= ~_EXECUTE
    net = 0 if abi < 4 else _BIND_TCP if domain.connects else _BIND_TCP | _CONNECT_TCP
    attributes = _RULESET.pack(handled, net, _SCOPES if abi >= 6 else 0)
    ruleset = kernel.call(_LANDLOCK_CREATE, attributes, 8 if abi < 4 else 16 if abi < 6 else 24, 0)
    if ruleset < 0:
        return
    try:
        for rights, paths in (
            (_READS, domain.reads or ()), (_WRITES, domain.writes), (_CHANGES, domain.changes),
            (_WRITES, (b"/dev/null",)),
        ):  # fmt: skip
            for path in paths:
                _allow(kernel, ruleset, rights & handled, path)
        if net and domain.connects:
            # Port 0 is whichever the system chooses: who connects may say from which address.
            kernel.call(_LANDLOCK_ADD, ruleset, _RULE_NET_PORT, _PORT_RULE.pack(_BIND_TCP, 0), 0)
        kernel.call(_LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(kernel: _Kernel, ruleset: int, rights: int, path: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        kernel.call(_LANDLOCK_ADD, ruleset, _RULE_PATH_BENEATH, _RULE.pack(rights, descriptor), 0)
    finally:
        os.close(descriptor)


# ---- seccomp


def _enter_filter(kernel: _Kernel, domain: Domain) -> None:
    assert kernel.machine is not None
    program = kernel.ctypes.create_string_buffer(_program(kernel.machine.column, domain))
    # struct sock_fprog: how many instructions, and where they are.
    count = (len(program) - 1) // _INSTRUCTION.size
    filter = Struct("@HP").pack(count, kernel.ctypes.addressof(program))
    # Without SPEC_ALLOW, older kernels make every such process slower.
    for flags in (_SPEC_ALLOW, 0):
        if kernel.call(kernel.machine.seccomp, _SET_FILTER, flags, filter) == 0:
            return


def _program(column: int, domain: Domain) -> bytes:
    """The filter: EPERM for what is forbidden, everything else is allowed."""
    tables = (FORBIDDEN,) if domain.starts else (FORBIDDEN, RUNNING if domain.forks else STARTING)
    numbers = sorted({row[column] for table in tables for row in table.values() if row[column] >= 0})
    clone, clone3, socket = CLONE[column], CLONE3[column], SOCKET[column]
    # Instructions, with the names of places in them where a jump leads forward.
    lines: list[tuple[int, int | str, int | str, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, "deny", (0xC000003E, 0xC00000B7)[column]),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, "deny", 0, _X32),
        *((_EQUAL, "deny", 0, number) for number in numbers),
        (_EQUAL, "old", 0, clone3),
        (_EQUAL, "clone", 0, clone),
        (_EQUAL, "socket", "allow", socket),
    ]
    places = {"socket": len(lines)}
    lines += [(_LOAD, 0, 0, _FIRST_ARGUMENT), *((_EQUAL, "allow", 0, family) for family in domain.families)]
    places["deny"] = len(lines)
    lines += [(_RETURN, 0, 0, _EPERM)]
    places["clone"] = len(lines)
    lines += [(_LOAD, 0, 0, _FIRST_ARGUMENT), (_ANY_BIT, "new", 0, _NAMESPACES)]
    places["allow"] = len(lines)
    lines += [(_RETURN, 0, 0, _ALLOW)]
    places["new"] = len(lines)
    lines += [(_RETURN, 0, 0, _EPERM)]
    # Its flags are in memory, where a filter does not see them; without it, the C library takes clone.
    places["old"] = len(lines)
    lines += [(_RETURN, 0, 0, _ENOSYS)]
    assembled = []
    for at, (code, true, false, value) in enumerate(lines):
        jumps = [places[jump] - at - 1 if isinstance(jump, str) else jump for jump in (true, false)]
        assembled.append(_INSTRUCTION.pack(code, *jumps, value))
    return b"".join(assembled)

"""A write that does less than it was asked to: `shortening.py OUTPUT CALL NTH -p PID`, or a command in its place.

strace can make a call fail, but not do half of it. This follows a process (and none of its children), and gives the
nth write, writev, pwrite64 or sendto to a file or a stream half of what it was to write; OUTPUT has `(INJECTED)` then.
Pipes are left alone: what is no longer than PIPE_BUF goes into them whole or not at all (pipe(7)). For x86_64 only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import socket
import stat
import sys

SEIZE, INTERRUPT, SYSCALL, GETREGS, SETREGS, PEEK, POKE = 0x4206, 0x4207, 24, 12, 13, 1, 4
TRACE_ME, DETACH, SETOPTIONS, SYSGOOD, EXEC = 0, 17, 0x4200, 1, 16
PIDFD_OPEN, PIDFD_GETFD = 434, 438
NUMBERS = {"write": 1, "pwrite64": 18, "writev": 20, "sendto": 44}
# struct user_regs_struct: the places of what counts.
COUNT, RDX, RSI, RDI, ORIG_RAX = 27, 12, 13, 14, 15

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
Registers = ctypes.c_ulonglong * COUNT


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """ptrace(2). Raises OSError."""
    ctypes.set_errno(0)
    result = int(libc.ptrace(request, pid, address, data))
    if result == -1 and (error := ctypes.get_errno()):
        raise OSError(error, os.strerror(error))
    return result


def may_be_short(pid: int, descriptor: int) -> bool:
    """Is this a file, or a stream that is no pipe?"""
    process = libc.syscall(PIDFD_OPEN, pid, 0)
    ours = libc.syscall(PIDFD_GETFD, process, descriptor, 0)
    os.close(process)
    if ours < 0:
        return False
    try:
        kind = os.fstat(ours).st_mode
        if stat.S_ISSOCK(kind):
            with socket.socket(fileno=os.dup(ours)) as one:
                return one.type == socket.SOCK_STREAM
        return stat.S_ISREG(kind)
    finally:
        os.close(ours)


class Shortener:
    """Follows one process."""

    def __init__(self, pid: int, call: str, nth: int) -> None:
        self.pid, self.number, self.left = pid, NUMBERS[call], nth
        self.inside = self.done = False
        self.restore: tuple[int, int] | None = None  # an address, and what stood there

    def stopped(self) -> None:
        """At the beginning or the end of a call."""
        self.inside = not self.inside
        if not self.inside:
            if self.restore is not None:
                ptrace(POKE, self.pid, *self.restore)
                self.restore = None
            return
        registers = Registers()
        ptrace(GETREGS, self.pid, 0, ctypes.addressof(registers))
        if registers[ORIG_RAX] == self.number and not self.done and may_be_short(self.pid, registers[RDI]):
            self.shorten(registers)

    def shorten(self, registers: ctypes.Array[ctypes.c_ulonglong]) -> None:
        """Halve what this call is to write, if it is the nth that can be halved."""
        vector = self.number == NUMBERS["writev"]
        # Of a vector only the first part is written, and half of that.
        place = registers[RSI] + 8
        size = ptrace(PEEK, self.pid, place) if vector else registers[RDX]
        if size < 2:
            return
        self.left -= 1
        if self.left:
            return
        self.done = True
        if vector:
            self.restore = (place, size)
            ptrace(POKE, self.pid, place, size // 2)
            registers[RDX] = 1
        else:
            registers[RDX] = size // 2
        ptrace(SETREGS, self.pid, 0, ctypes.addressof(registers))

    def follow(self) -> int:
        """Until it ends. Returns the code it ends with."""
        while True:
            _, status = os.waitpid(self.pid, 0x40000000)  # __WALL
            if not os.WIFSTOPPED(status):
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            number, event = os.WSTOPSIG(status), status >> 16
            if number == signal.SIGTRAP | 0x80:
                self.stopped()
            # Stops of ptrace's own are nobody's signals.
            ptrace(SYSCALL, self.pid, 0, 0 if number & 0x7F == signal.SIGTRAP or event else number)


def main(words: list[str]) -> int:
    """Run as described above."""
    assert platform.machine() == "x86_64"
    output, call, nth, *command = words
    if command[0] == "-p":
        pid = int(command[1])
        ptrace(SEIZE, pid, 0, SYSGOOD)
        ptrace(INTERRUPT, pid)
        print("attached", file=sys.stderr, flush=True)
    else:
        pid = os.fork()
        if not pid:
            ptrace(TRACE_ME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execv(command[0], command)
        os.waitpid(pid, 0)
        ptrace(SETOPTIONS, pid, 0, SYSGOOD | EXEC)
        ptrace(SYSCALL, pid)
    one = Shortener(pid, call, int(nth))

    def end(*_: object) -> None:
        with open(output, "w") as file:
            file.write(f"{call} (INJECTED)\n" if one.done else "")
        os._exit(0)

    signal.signal(signal.SIGINT, end)
    code = one.follow()
    if command[0] == "-p":
        signal.pause()
    with open(output, "w") as file:
        file.write(f"{call} (INJECTED)\n" if one.done else "")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Signals: the interpreter's habits undone, and signals as readable bytes for loops.

`_signal` is the interpreter's own module; `signal` wraps it in enums, and costs a short-lived
program a third of its start-up.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in, without a stub
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

HUP: int = _signal.SIGHUP
INT: int = _signal.SIGINT
QUIT: int = _signal.SIGQUIT
ALRM: int = _signal.SIGALRM
TERM: int = _signal.SIGTERM
CHLD: int = _signal.SIGCHLD
PIPE: int = _signal.SIGPIPE
CONT: int = _signal.SIGCONT
STOP: int = _signal.SIGSTOP
KILL: int = _signal.SIGKILL
USR1: int = _signal.SIGUSR1
XFSZ: int = _signal.SIGXFSZ
IO: int = _signal.SIGIO


_ours: set[int] = set()  # the signals that this process ignores or catches by its own wish
_ignored: set[int] = set()  # those of them that were ignored before


def defaults() -> None:
    """Undo what the interpreter sets at start: INT raises nothing, PIPE is as the parent left it for children.

    PIPE and XFSZ stay ignored in this process (writes then fail with an error that is looked at);
    `restore` puts them back before a foreign program is run.
    """
    if _signal.getsignal(INT) is _signal.default_int_handler:
        _signal.signal(INT, _signal.SIG_DFL)


def restore() -> None:
    """What a program expects to find after exec: nothing of what we did to signals, and an empty mask.

    What was ignored when we were started stays ignored (nohup); PIPE and XFSZ are the interpreter's own doing.
    """
    for number in ours():
        _signal.signal(number, _signal.SIG_DFL)
    for number in _ignored:
        _signal.signal(number, _signal.SIG_IGN)
    _signal.set_wakeup_fd(-1)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def ours() -> set[int]:
    """The signals that a program we start must find at their defaults again."""
    return _ours - _ignored | {PIPE, XFSZ}


def _claim(number: int) -> None:
    if number not in _ours and _signal.getsignal(number) == _signal.SIG_IGN and number not in (PIPE, XFSZ):
        _ignored.add(number)
    _ours.add(number)


def default(*numbers: int) -> None:
    """Let these signals do what they do by default."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_DFL)


def ignore(*numbers: int) -> None:
    """Ignore these signals."""
    for number in numbers:
        _claim(number)
        _signal.signal(number, _signal.SIG_IGN)


def block(*numbers: int) -> None:
    """Hold these signals back."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, numbers)


def unblock(*numbers: int) -> None:
    """Let these signals through."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)


def alarm(seconds: int) -> None:
    """Send this process ALRM after so many seconds; 0 cancels."""
    _signal.alarm(seconds)


def on(number: int, act: Callable[[], object]) -> None:
    """When this signal comes, call `act`, also in the middle of a read or write."""
    _claim(number)
    _signal.signal(number, lambda _number, _frame: act())


def send(handle: int, number: int) -> None:
    """Send a signal to the process of a pidfd; to one that is gone, nothing."""
    try:
        _signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass


def send_group(group: int, number: int) -> None:
    """Send a signal to a process group; to one that is gone, or is somebody else's, nothing."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


class Deadline:
    """Work that TimeoutError ends after so many seconds: `with Deadline(30):`. Takes the process's alarm for itself."""

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = _signal.signal(ALRM, _too_late)
        _signal.alarm(self._seconds)

    def __exit__(self, *_failure: object) -> None:
        _signal.alarm(0)
        _signal.signal(ALRM, self._before)


def catch(numbers: Iterable[int]) -> int:
    """A non-blocking descriptor that becomes readable when one of these signals arrives, one byte each: its number.

    For loops: read it with `arrived`. Nothing else happens when the signal comes.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        _claim(number)
        _signal.signal(number, _nothing)
    return reader


def arrived(descriptor: int) -> set[int]:
    """The signals that came since the last call."""
    try:
        return set(os.read(descriptor, 4096))
    except BlockingIOError:
        return set()


def _too_late(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("the time is over")


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor says it all."""

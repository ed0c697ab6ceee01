"""Starting programs: the only place that runs exec.

A name with a slash is a path; another one is searched in PATH as the C library does, an empty
element meaning the working directory. Programs get default signals and an empty mask.
"""

from __future__ import annotations

import errno
import os
import sys

from qmail.host import fds, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

DEFAULT_PATH = b"/bin:/usr/bin"


def replace(
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    *,
    name: bytes | None = None,
    search: Mapping[bytes, bytes] | None = None,
) -> NoReturn:
    """Become the program `argv[0]`, or the one called `name` where argv[0] only is what it is to be told.

    It is searched in the PATH of `search`, else of its own `environ`. Returns only by raising OSError: what
    the last fitting candidate said.
    """
    if not argv[0]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), argv[0])  # a directory, wherever it is searched
    signals.restore()
    denied: OSError | None = None
    for path in candidates(argv[0] if name is None else name, environ if search is None else search):
        try:
            os.execve(path, list(argv), dict(environ))
        except OSError as error:
            denied = _worth_saying(error, denied)
    raise denied or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _worth_saying(error: OSError, denied: OSError | None) -> OSError | None:
    # One candidate failed: what to say if all do. Raises where looking further makes no sense.
    if error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR):
        return error
    if error.errno != errno.ENOENT:
        raise error
    return denied


def candidates(name: bytes, environ: Mapping[bytes, bytes]) -> list[bytes]:
    """The paths at which a program of this name may stand, in order."""
    if b"/" in name:
        return [name]
    return [(place or b".") + b"/" + name for place in environ.get(b"PATH", DEFAULT_PATH).split(b":")]


def spawn(
    argv: Sequence[bytes],
    environ: Mapping[bytes, bytes],
    descriptors: Mapping[int, int],
    *,
    directory: bytes | None = None,
    session: bool = False,
    unable: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> int:
    """Start a program as a child and return its pid.

    `descriptors` maps the child's numbers to ours; all others that are not inheritable are closed.
    A child that cannot be exec'd exits `unable`; where that is not given 111 if it may pass, 100 if the
    file is at fault. `prepare` is the child's last act before it (to become somebody else).
    Raises OSError where fork fails.
    """
    pid = None
    if directory is None and prepare is None and not session and b"/" in argv[0]:
        pid = _spawn_at_once(argv, environ, descriptors)
    pid = os.fork() if pid is None else pid
    if pid:
        return pid
    try:
        if session:
            os.setsid()
        _arrange(descriptors)
        if directory is not None:
            os.chdir(directory)
        if prepare is not None:
            prepare()
        replace(argv, environ)
    except OSError as error:
        os._exit(exec_failure(error) if unable is None else unable)
    except BaseException:
        os._exit(111)


def _spawn_at_once(argv: Sequence[bytes], environ: Mapping[bytes, bytes], descriptors: Mapping[int, int]) -> int | None:
    # Without copying this process first, which costs more than a small program. None where exec failed.
    moved: list[int] = []
    actions = []
    try:
        for target, source in descriptors.items():
            moved.append(fds_above(source, max(descriptors)))
            actions.append((os.POSIX_SPAWN_DUP2, moved[-1], target))
        undone = signals.ours()
        return os.posix_spawn(argv[0], list(argv), dict(environ), file_actions=actions, setsigmask=(), setsigdef=undone)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE):
            raise
        return None
    finally:
        for descriptor in moved:
            os.close(descriptor)


def launch(argv: Sequence[bytes], environ: Mapping[bytes, bytes], end: int, search: Mapping[bytes, bytes]) -> int:
    """Start a program as a child that has `end` as its descriptors 0 and 1, and return its pid.

    Without copying this process first (vfork): half the cost of `spawn` from a process as large as ours. The
    program is searched in the PATH of `search`. Raises OSError where fork or exec fails.
    """
    from _posixsubprocess import fork_exec

    words = [name + b"=" + value for name, value in environ.items()]
    failure, tell = os.pipe2(os.O_CLOEXEC)
    vfork = () if sys.version_info >= (3, 14) else (True,)
    try:
        pid = fork_exec(
            list(argv), candidates(argv[0], search), False, (), None, words,  # type: ignore[arg-type]  # None: ours
            end, -1, -1, end, -1, -1, failure, tell, True, False, -1, None, None, None, -1,
            None, *vfork,  # type: ignore[arg-type]  # None: nothing to run before exec
        )  # fmt: skip
        os.close(tell)
        tell = -1
        # `OSError:NUMBER:`, the number hexadecimal, or nothing where exec closed the pipe.
        words_of_failure = os.read(failure, 100).split(b":")
    finally:
        os.close(failure)
        if tell >= 0:
            os.close(tell)
    if len(words_of_failure) > 1:
        os.waitpid(pid, 0)
        code = int(words_of_failure[1] or b"0", 16)
        raise OSError(code, os.strerror(code))
    return pid


def exec_failure(error: OSError) -> int:
    """The exit code for a failed exec: 111 for what may pass by itself, else 100."""
    passing = (
        errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.ETXTBSY, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EDQUOT,
    )  # fmt: skip
    return 111 if error.errno in passing else 100


def _arrange(descriptors: Mapping[int, int]) -> None:
    # First out of each other's way, then into place.
    moved = {target: fds_above(source, max(descriptors, default=0)) for target, source in descriptors.items()}
    for target, source in moved.items():
        fds.copy(source, target)


def fds_above(descriptor: int, highest: int) -> int:
    """A close-on-exec copy of `descriptor` above `highest`."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(highest + 1, 3))

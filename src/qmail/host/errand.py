"""A piece of work in a child of its own, so that waiting for others does not hold up a loop."""

from __future__ import annotations

import os

from qmail.host import fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 65536  # bytes of a result


class Errand:
    """Work under way: `descriptor` becomes readable at its end, then ask for the `result` once."""

    __slots__ = ("_pid", "descriptor")

    def __init__(self, work: Callable[[], bytes]) -> None:
        """Begin. The child holds no descriptor of ours but 0, 1, 2. Raises OSError where it cannot be started."""
        self.descriptor, writer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self.descriptor)
            os.close(writer)
            raise
        if self._pid == 0:
            _child(work, writer)
        os.close(writer)

    def result(self) -> bytes | None:
        """What the work returned, or None where it came to nothing. Waits for the end."""
        text = fds.read_all(self.descriptor, LONGEST)
        os.close(self.descriptor)
        _, status = os.waitpid(self._pid, 0)
        return text if status == 0 else None


def _child(work: Callable[[], bytes], writer: int) -> None:
    code = 111
    try:
        # Nobody may wait for our end because we hold a pipe, a lock or a socket that is not ours.
        writer = os.dup2(writer, 3, inheritable=False) if writer != 3 else 3
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        fds.close_from(4)
        fds.write_all(writer, work())
        code = 0
    finally:
        os._exit(code)

"""What supervise does at each event: one table of commands, one small machine, no process in sight.

The machine says what is to be done by signal names and by `start`; supervise(8) does it.
"""

from __future__ import annotations

from qmail.formats.svstatus import DOWN, ONCE, UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Command:
    """One letter written to supervise/control. None leaves a thing as it is."""

    __slots__ = ("exits", "paused", "signals", "starts", "wanted")

    def __init__(
        self,
        *,
        wanted: bytes | None = None,
        signals: tuple[str, ...] = (),
        paused: bool | None = None,
        starts: bool = False,
        exits: bool = False,
    ) -> None:
        self.wanted, self.signals, self.paused, self.starts, self.exits = wanted, signals, paused, starts, exits

    @property
    def tells(self) -> bool:
        """Does it change what the status says?"""
        return self.wanted is not None or self.paused is not None or self.exits


COMMANDS: Mapping[bytes, Command] = {
    b"u": Command(wanted=UP, starts=True),
    b"d": Command(wanted=DOWN, signals=("TERM", "CONT"), paused=False),
    b"o": Command(wanted=ONCE, starts=True),
    b"p": Command(signals=("STOP",), paused=True),
    b"c": Command(signals=("CONT",), paused=False),
    b"h": Command(signals=("HUP",)),
    b"a": Command(signals=("ALRM",)),
    b"i": Command(signals=("INT",)),
    b"t": Command(signals=("TERM",)),
    b"k": Command(signals=("KILL",)),
    b"x": Command(exits=True),
}


NOTHING = Command()


class Orders:
    """What is to be done for a command: signals for the program, whether to start it, whether to tell the state."""

    __slots__ = ("signals", "starts", "tells")

    def __init__(self, signals: tuple[str, ...], starts: bool, tells: bool) -> None:
        self.signals, self.starts, self.tells = signals, starts, tells


class Machine:
    """The state of one service as its supervise knows it."""

    __slots__ = ("exiting", "paused", "pid", "wanted")

    def __init__(self, normally_up: bool) -> None:
        self.pid = 0
        self.paused = False
        self.wanted = UP if normally_up else DOWN
        self.exiting = False

    @property
    def over(self) -> bool:
        """Nothing is left to do for this supervise."""
        return self.exiting and not self.pid

    @property
    def due(self) -> bool:
        """The program is to be started: it does not run, and up is wanted."""
        return self.wanted == UP and not self.pid and not self.exiting

    def started(self, pid: int) -> None:
        """The program runs."""
        self.pid, self.paused = pid, False

    def ended(self) -> None:
        """The program has ended."""
        self.pid = 0

    def obey(self, letter: bytes) -> Orders:
        """A command came. Unknown letters do nothing."""
        command = COMMANDS.get(letter, NOTHING)
        if command.wanted is not None:
            self.wanted = command.wanted
        if command.paused is not None and self.pid:
            self.paused = command.paused
        self.exiting |= command.exits
        return Orders(command.signals if self.pid else (), command.starts and not self.pid, command.tells)

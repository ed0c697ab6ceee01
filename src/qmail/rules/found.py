"""An installation as values, for the rules that look for what is wrong with it, or will be different."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Run:
    """A run file, or the boot script."""

    __slots__ = ("executable", "path", "text")

    def __init__(self, path: bytes, text: bytes, *, executable: bool = True) -> None:
        self.path, self.text, self.executable = path, text, executable


class Rules:
    """The records of the rules that a tcpserver in `run` reads; None where there is no such database."""

    __slots__ = ("path", "records", "run")

    def __init__(self, path: bytes, records: Sequence[tuple[bytes, bytes]] | None, run: Run) -> None:
        self.path, self.records, self.run = path, records, run

    @property
    def keys(self) -> list[bytes]:
        """Whom there are rules for."""
        return [key for key, _ in self.records or ()]

    @property
    def variables(self) -> set[bytes]:
        """The names of the variables that they set."""
        words = [word for _, data in self.records or () for word in data.split(b"\0") if word.startswith(b"+")]
        return {word[1:].partition(b"=")[0] for word in words}


class Found:
    """`control`, `aliases`: name to text of what is there. `assignments`: the records of users/cdb, None without it.

    `linked`: (.qmail file, mailbox) where the mailbox is a link in a directory that is not the user's.
    """

    def __init__(
        self,
        home: bytes,
        control: Mapping[bytes, bytes],
        runs: Sequence[Run],
        rules: Sequence[Rules],
        aliases: Mapping[bytes, bytes],
    ) -> None:
        self.home, self.control, self.runs, self.rules, self.aliases = home, control, runs, rules, aliases
        self.assignments: Sequence[tuple[bytes, bytes]] | None = None
        self.linked: Sequence[tuple[bytes, bytes]] = ()

    @property
    def homes(self) -> dict[bytes, int]:
        """The homes that users/cdb names, with their owners' uids."""
        fields = [data.split(b"\0") for key, data in self.assignments or () if key.startswith(b"!")]
        return {each[3]: int(each[1]) for each in fields if len(each) > 3 and each[1].isdigit()}

    def lines(self, name: bytes) -> list[bytes]:
        """The lines of a control file that count."""
        stripped = (line.rstrip(b" \t") for line in self.control.get(name, b"").split(b"\n"))
        return [line for line in stripped if line and not line.startswith(b"#")]

    def first(self, name: bytes) -> bytes:
        """The first line of a control file."""
        return self.control.get(name, b"").partition(b"\n")[0].rstrip(b" \t")

    def running(self, program: bytes) -> Iterator[Run]:
        """The run files that name a program."""
        return (run for run in self.runs if program in run.text)

"""What a program can do to a disk, or say to another one: the events of a recording."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """A file was opened for writing; `file` is the number under which its writes are told."""

    path: bytes
    file: int
    created: bool
    emptied: bool
    appending: bool


@dataclass(frozen=True)
class Moved:
    """The next write without an offset goes here."""

    file: int
    offset: int


@dataclass(frozen=True)
class Wrote:
    """Bytes went into a file, at `offset`, or behind what was written last (None)."""

    file: int
    data: bytes
    offset: int | None = None


@dataclass(frozen=True)
class Resized:
    """A file was cut or made longer."""

    file: int
    size: int


@dataclass(frozen=True)
class Linked:
    """A file got a second name."""

    source: bytes
    target: bytes


@dataclass(frozen=True)
class Renamed:
    """A file, or a directory, has another name."""

    source: bytes
    target: bytes


@dataclass(frozen=True)
class Removed:
    """A name went."""

    path: bytes


@dataclass(frozen=True)
class MadeDirectory:
    """A directory came."""

    path: bytes


@dataclass(frozen=True)
class Synced:
    """fsync or fdatasync (`data`) of a file, returned; `path` is the name that it was opened by, `by` a program."""

    file: int
    path: bytes = b""
    by: bytes = b""
    data: bool = False


@dataclass(frozen=True)
class SyncedDirectory:
    """fsync of a directory, returned."""

    path: bytes
    by: bytes = b""
    pid: int = 0


@dataclass(frozen=True)
class SyncedAll:
    """syncfs, returned; `path`: what it was given."""

    path: bytes
    by: bytes = b""


@dataclass(frozen=True)
class Sent:
    """Bytes went to another process, through a pipe or a socket."""

    pid: int
    data: bytes


Event = (
    Opened
    | Moved
    | Wrote
    | Resized
    | Linked
    | Renamed
    | Removed
    | MadeDirectory
    | Synced
    | SyncedDirectory
    | SyncedAll
    | Sent
)

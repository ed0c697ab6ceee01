"""A disk that keeps only what it was told to keep, and what a power cut may leave of it; `models` has the rules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from crash.happenings import (
    Event,
    Linked,
    MadeDirectory,
    Moved,
    Opened,
    Removed,
    Renamed,
    Resized,
    Sent,
    Synced,
    SyncedAll,
    SyncedDirectory,
    Wrote,
)
from crash.models import STRICT, Data, Model, Name, Pending, Size, choices

Tree = dict[bytes, bytes]  # path below the top to contents, of everything that can be found from there


class Disk:
    """Built by events; `states` tells what may be found after a power cut now."""

    TOP = 0

    def __init__(
        self, top: bytes, tree: Tree | None = None, directories: tuple[bytes, ...] = (), model: Model = STRICT
    ) -> None:
        """Begin with a durable tree: `directories` (parents first) and files, all below `top`.

        Where the model has two disks, `home` is on one of them, and everything else on the other.
        """
        self.top, self.model = top, model
        self.disks: dict[int, int] = {self.TOP: 0}
        self.names: dict[int, dict[bytes, int]] = {self.TOP: {}}  # durable
        self.contents: dict[int, bytes] = {}  # durable
        self.pending: list[Pending] = []
        self.files: dict[int, int] = {}  # the recording's number of an open file to inode
        self.ends: dict[int, int | None] = {}  # the same to the place of the next write; None: the end, always
        self.live: dict[int, dict[bytes, int]] = {self.TOP: {}}
        self.lengths: dict[int, int] = {}
        self._last = 0
        for path in directories:
            self._place(path, directory=True)
        for path, text in (tree or {}).items():
            inode = self._place(path, directory=False)
            self.contents[inode], self.lengths[inode] = text, len(text)

    def _place(self, path: bytes, *, directory: bool) -> int:
        parent, name = self._parent(self.top + b"/" + path)
        inode = self._new(parent, name, directory=directory)
        self.names[parent][name] = self.live[parent][name] = inode
        return inode

    def _new(self, parent: int, name: bytes, *, directory: bool) -> int:
        self._last += 1
        inside = self.disks[parent] if parent != self.TOP else int(name != b"home")
        self.disks[self._last] = inside if self.model.disks > 1 else 0
        if directory:
            self.names[self._last], self.live[self._last] = {}, {}
        else:
            self.contents[self._last], self.lengths[self._last] = b"", 0
        return self._last

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        assert path.startswith(self.top + b"/"), path
        *parents, name = path[len(self.top) + 1 :].split(b"/")
        inode = self.TOP
        for part in parents:
            inode = self.live[inode][part]
        return inode, name

    def inode(self, path: bytes) -> int:
        """What this path leads to now."""
        if path == self.top:
            return self.TOP
        parent, name = self._parent(path)
        return self.live[parent][name]

    def live_names(self, directory: bytes) -> dict[bytes, int]:
        """What is in a directory now, given below the top."""
        return self.live[self.inode(self.top + b"/" + directory)]

    def _name(self, path: bytes, child: int | None) -> None:
        parent, name = self._parent(path)
        if child is None:
            self.live[parent].pop(name, None)
        else:
            self.live[parent][name] = child
        self.pending.append(Name(parent, name, child))

    def do(self, event: Event) -> None:
        """One thing happens."""
        match event:
            case Opened():
                self._open(event)
            case Moved(file, offset):
                if self.ends[file] is not None:
                    self.ends[file] = offset
            case Wrote(file, data, offset):
                inode = self.files[file]
                at = self.ends[file] if offset is None else offset
                at = self.lengths[inode] if at is None else at
                self.pending.append(Data(inode, at, data, at + len(data) > len(self.contents[inode])))
                if offset is None and self.ends[file] is not None:
                    self.ends[file] = at + len(data)
                self.lengths[inode] = max(self.lengths[inode], at + len(data))
            case Resized(file, size):
                self.pending.append(Size(self.files[file], size))
                self.lengths[self.files[file]] = size
            case Linked(source, target):
                self._name(target, self.inode(source))
            case Renamed(source, target):
                inode = self.inode(source)
                self._name(target, inode)
                self._name(source, None)
            case Removed(path):
                self._name(path, None)
            case MadeDirectory(path):
                parent, name = self._parent(path)
                self._name(path, self._new(parent, name, directory=True))
            case Synced(file):
                self._sync(self.files[file])
            case SyncedDirectory(path):
                self._sync(self.inode(path))
            case SyncedAll(path):
                disk = self.disks[self.inode(path)]
                self._reaches(one for one in self.pending if self.disks[one.inode] == disk)
            case Sent():
                pass

    def _open(self, event: Opened) -> None:
        parent, name = self._parent(event.path)
        if name not in self.live[parent]:
            assert event.created, event.path
            self._name(event.path, self._new(parent, name, directory=False))
        inode = self.live[parent][name]
        if event.emptied and self.lengths[inode]:
            self.pending.append(Size(inode, 0))
            self.lengths[inode] = 0
        self.files[event.file] = inode
        self.ends[event.file] = None if event.appending else 0

    def _sync(self, inode: int) -> None:
        here = [one for one in self.pending if self.disks[one.inode] == self.disks[inode]]
        chosen = self.model.synced(here, inode)
        self._reaches(one for at, one in enumerate(here) if at in chosen)

    def _reaches(self, durable: Iterable[Pending]) -> None:
        chosen = {id(one) for one in durable}
        for one in self.pending:
            if id(one) in chosen:
                _apply(one, self.names, self.contents)
        self.pending = [one for one in self.pending if id(one) not in chosen]

    def tree(self, kept: tuple[Pending, ...]) -> Tree:
        """What is found if just these of the pending things reached the disk."""
        names = {inode: dict(entries) for inode, entries in self.names.items()}
        contents = dict(self.contents)
        for one in kept:
            _apply(one, names, contents)
        tree: Tree = {}
        walk: list[tuple[bytes, int, int]] = [(b"", self.TOP, 0)]
        while walk:
            path, inode, depth = walk.pop()
            if inode in names:
                assert depth < 20
                walk += [
                    (path + b"/" + name if path else name, child, depth + 1) for name, child in names[inode].items()
                ]
            else:
                tree[path] = contents[inode]
        return tree

    def states(self, seed: int, chance: int = 30) -> Iterator[tuple[str, Tree | None]]:
        """What a cut may leave, with how it comes about; equal trees may come more than once, or as None."""
        seen = set()
        for how, kept in choices(self.model, [(one, self.disks[one.inode]) for one in self.pending], seed, chance):
            yield how, None if kept in seen else self.tree(kept)
            seen.add(kept)


def _apply(one: Pending, names: dict[int, dict[bytes, int]], contents: dict[int, bytes]) -> None:
    match one:
        case Name(inode, name, None):
            names[inode].pop(name, None)
        case Name(inode, name, child):
            assert child is not None
            names[inode][name] = child
        case Data(inode, offset, data):
            old = contents[inode].ljust(offset, b"\0")
            contents[inode] = old[:offset] + data + old[offset + len(data) :]
        case Size(inode, size):
            contents[inode] = contents[inode][:size].ljust(size, b"\0")


def snapshot(top: Path, *watched: Path) -> tuple[Tree, tuple[bytes, ...]]:
    """The files and directories below `watched` (or `top`) now, by their paths below `top`; parents come first."""
    tree: Tree = {}
    directories: list[bytes] = []
    for start in watched or (top,):
        parents = [path for path in reversed(start.parents) if path.is_relative_to(top) and path != top]
        for parent in parents:
            if os.fsencode(parent.relative_to(top)) not in directories:
                directories.append(os.fsencode(parent.relative_to(top)))
        for place, _below, names in os.walk(os.fsencode(start)):
            below = os.path.relpath(place, os.fsencode(top))
            if below != b".":
                directories.append(below)
            for name in names:
                path = os.path.join(place, name)
                try:
                    if os.path.isfile(path) and not os.path.islink(path):
                        tree[os.path.relpath(path, os.fsencode(top))] = _unnoticed(path)
                except FileNotFoundError:
                    continue  # a running system has removed it
    return tree, tuple(directories)


def _unnoticed(path: bytes) -> bytes:
    # What was read lately is no leftover; our looking must not make it fresh.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOATIME)) as file:
        return file.read()


def rebuild(tree: Tree, top: Path, *, age: float, now: float) -> None:
    """Put these files below `top`, `age` seconds old, each with the owner of its directory."""
    for path, text in tree.items():
        target = os.path.join(os.fsencode(top), path)
        with open(target, "wb") as file:
            file.write(text)
        os.utime(target, (now - age, now - age))
        owner = os.stat(os.path.dirname(target))
        if os.geteuid() == 0:
            os.chown(target, owner.st_uid, owner.st_gid)

"""A disk that keeps only what it was told to keep, and what a power cut may leave of it.

The strict model: a file's bytes are durable when it was fsynced, a name is durable when its directory
was. Everything else may or may not reach the disk, in any order: any subset of it, and a write may
reach it in part.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from crash.recording import (
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

Tree = dict[bytes, bytes]  # path below the top to contents, of everything that can be found from there


@dataclass(frozen=True)
class Name:
    """Something not yet durable: in directory `inode`, `name` leads to `child`, or nowhere."""

    inode: int
    name: bytes
    child: int | None


@dataclass(frozen=True)
class Data:
    """Something not yet durable: these bytes in a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Size:
    """Something not yet durable: this size of a file."""

    inode: int
    size: int


Pending = Name | Data | Size


class Disk:
    """Built by events; `states` tells what may be found after a power cut now."""

    TOP = 0

    def __init__(self, top: bytes, tree: Tree | None = None, directories: tuple[bytes, ...] = ()) -> None:
        """Begin with a durable tree: `directories` (parents first) and files, all below `top`."""
        self.top = top
        self.names: dict[int, dict[bytes, int]] = {self.TOP: {}}  # durable
        self.contents: dict[int, bytes] = {}  # durable
        self.pending: list[Pending] = []
        self.files: dict[int, int] = {}  # the recording's number of an open file to inode
        self.ends: dict[int, int] = {}  # the same to the place of the next write
        self.live: dict[int, dict[bytes, int]] = {self.TOP: {}}
        self.lengths: dict[int, int] = {}
        self._last = 0
        for path in directories:
            self._place(path, directory=True)
        for path, text in (tree or {}).items():
            self.contents[self._place(path, directory=False)] = text

    def _place(self, path: bytes, *, directory: bool) -> int:
        parent, name = self._parent(self.top + b"/" + path)
        inode = self._new(directory=directory)
        self.names[parent][name] = self.live[parent][name] = inode
        return inode

    def _new(self, *, directory: bool) -> int:
        self._last += 1
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

    def _inode(self, path: bytes) -> int:
        if path == self.top:
            return self.TOP
        parent, name = self._parent(path)
        return self.live[parent][name]

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
                self.ends[file] = offset
            case Wrote(file, data, offset):
                inode = self.files[file]
                at = self.ends[file] if offset is None else offset
                self.pending.append(Data(inode, at, data))
                if offset is None:
                    self.ends[file] = at + len(data)
                self.lengths[inode] = max(self.lengths[inode], at + len(data))
            case Resized(file, size):
                self.pending.append(Size(self.files[file], size))
                self.lengths[self.files[file]] = size
            case Linked(source, target):
                self._name(target, self._inode(source))
            case Renamed(source, target):
                inode = self._inode(source)
                self._name(target, inode)
                self._name(source, None)
            case Removed(path):
                self._name(path, None)
            case MadeDirectory(path):
                self._name(path, self._new(directory=True))
            case Synced(file):
                self._sync(self.files[file])
            case SyncedDirectory(path):
                self._sync(self._inode(path))
            case SyncedAll():
                for inode in {one.inode for one in self.pending}:
                    self._sync(inode)
            case Sent():
                pass

    def _open(self, event: Opened) -> None:
        parent, name = self._parent(event.path)
        if name not in self.live[parent]:
            assert event.created, event.path
            self._name(event.path, self._new(directory=False))
        inode = self.live[parent][name]
        if event.emptied and self.lengths[inode]:
            self.pending.append(Size(inode, 0))
            self.lengths[inode] = 0
        self.files[event.file] = inode
        self.ends[event.file] = self.lengths[inode] if event.appending else 0

    def _sync(self, inode: int) -> None:
        for one in self.pending:
            if one.inode == inode:
                _apply(one, self.names, self.contents)
        self.pending = [one for one in self.pending if one.inode != inode]

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

    def states(self, seed: int, *, pairs: int = 12, chance: int = 30) -> Iterator[tuple[str, Tree]]:
        """What a power cut may leave, with how it comes about; equal trees may come more than once."""
        pending = tuple(self.pending)
        for how, kept in _subsets(pending, seed, pairs, chance):
            yield how, self.tree(kept)
        for at, one in enumerate(pending):
            if isinstance(one, Data) and len(one.data) > 1:
                for how, torn in _torn(one):
                    yield f"all, write {at} {how}", self.tree((*pending[:at], torn, *pending[at + 1 :]))


def _subsets(
    pending: tuple[Pending, ...], seed: int, pairs: int, chance: int
) -> Iterator[tuple[str, tuple[Pending, ...]]]:
    count = len(pending)
    yield "all", pending
    yield "none", ()
    for at, one in enumerate(pending):
        yield f"only {at}", (one,)
        yield f"all but {at}", (*pending[:at], *pending[at + 1 :])
        yield f"first {at}", pending[:at]
        yield f"last {count - at}", pending[at:]
    for inode in sorted({one.inode for one in pending}):
        yield f"only inode {inode}", tuple(one for one in pending if one.inode == inode)
        yield f"all but inode {inode}", tuple(one for one in pending if one.inode != inode)
    if count <= pairs:
        for first, second in combinations(range(count), 2):
            yield f"only {first} and {second}", (pending[first], pending[second])
            yield (
                f"all but {first} and {second}",
                tuple(one for at, one in enumerate(pending) if at not in (first, second)),
            )
    draw = random.Random(seed)
    for number in range(chance if count > 3 else 0):
        yield f"chance {number} of seed {seed}", tuple(one for one in pending if draw.random() < 0.5)


def _torn(one: Data) -> Iterator[tuple[str, Data]]:
    half = len(one.data) // 2
    yield "cut", Data(one.inode, one.offset, one.data[:half])
    yield "cut, size kept", Data(one.inode, one.offset, one.data[:half] + b"\0" * (len(one.data) - half))
    yield "only its end", Data(one.inode, one.offset, b"\0" * half + one.data[half:])


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

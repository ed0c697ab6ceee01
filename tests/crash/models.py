"""What kinds of disk there are: what a sync makes durable on each, and what a cut may leave of the rest.

    strict    Only what was synced is durable: a file's bytes by its own sync, a name by that of its directory.
              Any subset of all else may have reached the disk, and a write in part.
    ext4      A journal, and data in order: names and truncations become durable in their order; a sync of
              anything brings all of them before it. A file grows only after the names that came before the
              write; what is written in place may come at any time.
    ext4 on two disks
              The same, with the queue on one disk and the homes on another, each with a journal of its own.
    kill      Every process ends at once, and the kernel lives: what was done stays, a write perhaps in part.

In all of them syncfs makes one disk durable; in the strict model the homes are never on that of the queue.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Name:
    """Something not yet durable: in directory `inode`, `name` leads to `child`, or nowhere."""

    inode: int
    name: bytes
    child: int | None


@dataclass(frozen=True)
class Data:
    """Something not yet durable: these bytes in a file. `grows`: the file is longer since."""

    inode: int
    offset: int
    data: bytes
    grows: bool = True


@dataclass(frozen=True)
class Size:
    """Something not yet durable: this size of a file."""

    inode: int
    size: int


Pending = Name | Data | Size
Kept = tuple[Pending, ...]
Choice = tuple[str, Kept]  # how it comes about, and what reached the disk, in the order of its being done


@dataclass(frozen=True)
class Model:
    """One kind of disk.

    `synced(pending, inode)`: what of it a sync of this inode makes durable, all of it being on one disk.
    `choices(pending, seed, chance)`: what may be kept of what is on one disk; `chance` random ones among them.
    """

    name: str
    disks: int
    synced: Callable[[Sequence[Pending], int], set[int]]
    choices: Callable[[Kept, int, int], Iterator[Choice]]


def _strict_synced(pending: Sequence[Pending], inode: int) -> set[int]:
    return {at for at, one in enumerate(pending) if one.inode == inode}


def _strict_choices(pending: Kept, seed: int, chance: int) -> Iterator[Choice]:
    yield from _subsets(pending, seed, chance)
    for at, one in enumerate(pending):
        if isinstance(one, Data) and len(one.data) > 1:
            for how, torn in _torn(one):
                yield f"all, write {at} {how}", (*pending[:at], torn, *pending[at + 1 :])


def _subsets(pending: Kept, seed: int, chance: int) -> Iterator[Choice]:
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
    if count <= 12:
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


def _journal_synced(pending: Sequence[Pending], inode: int) -> set[int]:
    own = {at for at, one in enumerate(pending) if one.inode == inode}
    in_journal = any(
        inode in (one.inode, getattr(one, "child", None)) and (not isinstance(one, Data) or one.grows)
        for one in pending
    )
    return own | {at for at, one in enumerate(pending) if in_journal and not isinstance(one, Data)}


def _journal_choices(pending: Kept, seed: int, chance: int) -> Iterator[Choice]:
    order = [at for at, one in enumerate(pending) if not isinstance(one, Data)]
    draw = random.Random(seed)
    for count in range(len(order) + 1):
        names = set(order[:count])
        # A file grows in a transaction that is later than the names before the write.
        end = order[count] if count < len(order) else len(pending)
        data = [at for at, one in enumerate(pending) if isinstance(one, Data) and (at < end or not one.grows)]

        def kept(chosen: set[int], names: set[int] = names) -> Kept:
            return tuple(one for at, one in enumerate(pending) if at in names or at in chosen)

        yield f"{count} names, all data", kept(set(data))
        yield f"{count} names, no data", kept(set())
        files = sorted({pending[at].inode for at in data})
        for inode in files:
            yield f"{count} names, data of {inode}", kept({at for at in data if pending[at].inode == inode})
            yield f"{count} names, no data of {inode}", kept({at for at in data if pending[at].inode != inode})
        for number in range(chance // 10 if len(data) > 1 else 0):
            yield f"{count} names, chance {number} of seed {seed}", kept(_grown(pending, data, draw))
        if data and isinstance(one := pending[data[-1]], Data) and len(one.data) > 1:
            torn = Data(one.inode, one.offset, one.data[: len(one.data) // 2], one.grows)
            rest = kept(set(data))
            yield f"{count} names, last write cut", tuple(torn if each is one else each for each in rest)


def _grown(pending: Kept, data: list[int], draw: random.Random) -> set[int]:
    """Some of these writes: what makes a file longer comes in its order."""
    chosen: set[int] = set()
    missing: set[int] = set()
    for at in data:
        one = pending[at]
        assert isinstance(one, Data)
        if draw.random() < 0.5 and not (one.grows and one.inode in missing):
            chosen.add(at)
        elif one.grows:
            missing.add(one.inode)
    return chosen


def _kill_choices(pending: Kept, _seed: int, _chance: int) -> Iterator[Choice]:
    yield "all", pending
    if pending and isinstance(one := pending[-1], Data) and len(one.data) > 1:
        yield "the last write cut", (*pending[:-1], Data(one.inode, one.offset, one.data[: len(one.data) // 2]))


STRICT = Model("strict", 2, _strict_synced, _strict_choices)
MODELS = {
    model.name: model
    for model in (
        STRICT,
        Model("ext4", 1, _journal_synced, _journal_choices),
        Model("ext4 on two disks", 2, _journal_synced, _journal_choices),
        Model("kill", 1, _strict_synced, _kill_choices),
    )
}


def choices(model: Model, pending: Sequence[tuple[Pending, int]], seed: int, chance: int) -> Iterator[Choice]:
    """What a cut may leave of `pending`, each with its disk, on all disks."""
    disks = sorted({disk for _, disk in pending})
    everything = tuple(one for one, _ in pending)
    if model is STRICT or len(disks) < 2:
        yield from model.choices(everything, seed, chance)
        return
    draw = random.Random(seed)
    parts = {disk: tuple(one for one, on in pending if on == disk) for disk in disks}
    options = {disk: list(model.choices(part, seed, chance)) for disk, part in parts.items()}
    order = {id(one): at for at, one in enumerate(everything)}
    for disk in disks:
        others = [option for other in disks if other != disk for option in options[other]]
        rest = tuple(one for one, on in pending if on != disk)
        for how, kept in options[disk]:
            for of_others, also in (("all", rest), ("none", ()), draw.choice(others)):
                merged = sorted((*kept, *also), key=lambda one: order.get(id(one), len(order)))
                yield f"disk {disk}: {how}; the other: {of_others}", tuple(merged)

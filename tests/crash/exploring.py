"""From a recording to every state that a cut may leave, each once, with what was promised by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

from crash.disk import Disk, Tree
from crash.happenings import Event

SEED = 20


def explore(
    disk: Disk,
    events: Sequence[Event],
    tell: Callable[[Event, Disk], None],
    promised: Callable[[], Hashable],
    count: Counter[str],
    *,
    chance: int = 30,
    since: int = 0,
) -> Iterator[tuple[str, Tree]]:
    """Every different state after every step: how it comes about, and the tree.

    `tell` hears of each step before it is done, and keeps account of promises; `promised` is that
    account, and a tree is looked at again where it has changed. `count`: how many were made, and how
    many differ. Steps before `since` are not looked at.
    """
    seen: set[Hashable] = set()
    for step, event in enumerate([None, *events]):
        if event is not None:
            tell(event, disk)
            disk.do(event)
        if step < since:
            continue
        account = promised()
        for how, tree in disk.states(SEED + step, chance):
            count["made"] += 1
            if tree is None:
                continue
            key = (frozenset(tree.items()), account)
            if key not in seen:
                seen.add(key)
                count["different"] += 1
                yield f"after step {step} ({event}), {how}", tree

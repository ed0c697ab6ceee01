"""Becoming another user: the one right order, in the one place that may."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def become(uid: int, gid: int, groups: Sequence[int] | None = None) -> None:
    """Give up this identity for good: groups (default: just `gid`), then gid, then uid.

    Raises OSError where the kernel refuses, its `filename` the step: setgid (groups included) or setuid; and
    PermissionError where it quietly did not obey.
    """
    step = "setgid"
    try:
        os.setgroups(list(groups) if groups is not None else [gid])
        os.setresgid(gid, gid, gid)
        step = "setuid"
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise OSError(error.errno, error.strerror, step) from None
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise PermissionError("unable to change identity")


def take_group(gid: int) -> None:
    """Become a group, its only one, and keep the user for now. Raises OSError."""
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)


def take_user(uid: int) -> None:
    """Become a user for good, and keep the groups (`take_group` comes first). Raises OSError."""
    os.setresuid(uid, uid, uid)

"""What ezmlm-make writes: the files of a new list, by its options (ezmlm(5), ezmlm-make(1)).

Small letters switch something on, the capital ones off. Digits have an argument.
"""

from __future__ import annotations

from qmail.formats.listflags import OTHERS, SWITCHES
from qmail.formats.listtexts import TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS = b"ap"
# Options of other versions that need programs which are not here, or mean nothing.
MISSING = {
    b"c": b"there are no templates", b"C": b"there are no templates", b"i": b"there is no ezmlm-archive",
    b"m": b"there is no ezmlm-store: put the moderators' addresses into DIR/editor instead of its lines",
    b"n": b"texts cannot be edited by mail", b"o": b"there is no ezmlm-store", b"y": b"there is no ezmlm-confirm",
    b"6": b"subscribers are in files",
}  # fmt: skip
ANNOYING = b"""\
application/excel
application/ms-tnef
application/msword
application/rtf
application/vnd.ms-excel
application/x-msdownload
text/enriched
text/html
text/rtf
text/x-vcard
"""
REMOVED = b"""\
return-path
return-receipt-to
disposition-notification-to
content-length
precedence
x-confirm-reading-to
list-help
list-post
list-subscribe
list-unsubscribe
"""
ADDED = b"""\
Precedence: bulk
X-No-Archive: yes
List-Post: <mailto:<#L#>@<#H#>>
List-Help: <mailto:<#l#>-help@<#h#>>
List-Subscribe: <mailto:<#l#>-subscribe@<#h#>>
List-Unsubscribe: <mailto:<#l#>-unsubscribe@<#h#>>
"""


class Setup:
    """A list to be made. `flags`: the letters that hold; `arguments`: those of digits, and of `C` the digest's code.

    `touched`: the letters whose files are to be written or removed; None for all.
    """

    __slots__ = ("arguments", "bin", "dot", "flags", "host", "local", "path", "touched")

    def __init__(self, path: bytes, dot: bytes, local: bytes, host: bytes, programs: bytes) -> None:
        self.path, self.dot, self.local, self.host, self.bin = path, dot, local, host, programs
        self.flags = frozenset[bytes]()
        self.touched: frozenset[bytes] | None = None
        self.arguments: Mapping[bytes, bytes] = {}

    def fixed(self) -> dict[bytes, bytes]:
        """Files that are written each time, by their names."""
        made = {
            b"outlocal": self.local + b"\n", b"outhost": self.host + b"\n",
            b"inlocal": self.local + b"\n", b"inhost": self.host + b"\n",
            b"dot": self.dot + b"\n",
            b"editor": self._editor(), b"owner": self._owner(), b"bouncer": self._bouncer(b"-D"),
            b"manager": self._manager(), b"digest/bouncer": self._bouncer(b"-d"),
        }  # fmt: skip
        for name, flag in SWITCHES.items():
            if self._on(flag) and self._touches(flag):
                made[name] = self._setting(name)
        return made

    def kept(self) -> dict[bytes, bytes]:
        """Files that the owner may have changed, which stay when a list is edited."""
        removed, added = REMOVED, ADDED
        if b"3" in self.arguments:
            removed += b"from\n"
            added += b"From: " + self.arguments[b"3"] + b"\n"
        if b"0" in self.arguments:
            # The parent list has put them in.
            removed = removed.replace(b"list-post\n", b"")
            added = b"".join(line for line in added.splitlines(keepends=True) if not line.startswith(b"List-Post"))
        made = {
            b"headerremove": removed, b"headeradd": added,
            b"mailinglist": b"contact %b-help@%b; run by ezmlm\n" % (self.local, self.host),
            b"listid": b"<%b.%b>\n" % (self.local, self.host),
        }  # fmt: skip
        made |= {b"text/" + name.encode(): text.encode() for name, text in TEXTS.items() if name != "trailer"}
        if b"t" in self.flags:
            made[b"text/trailer"] = TEXTS["trailer"].encode()
        return made

    def gone(self) -> list[bytes]:
        """Files that must not be there."""
        switches = SWITCHES | {b"text/trailer": b"t"} | OTHERS
        return [name for name, flag in switches.items() if not self._on(flag) and self._touches(flag)]

    def links(self) -> dict[bytes, bytes]:
        """The .qmail files, and where they lead."""
        made = {b"": b"editor", b"-owner": b"owner", b"-default": b"manager", b"-return-default": b"bouncer"}
        if b"d" in self.flags:
            made |= {b"-digest-owner": b"owner", b"-digest-return-default": b"digest/bouncer"}
        return {self.dot + end: self.path + b"/" + name for end, name in made.items()}

    def _on(self, flag: bytes) -> bool:
        return flag in self.flags or flag in self.arguments

    def _touches(self, flag: bytes) -> bool:
        return self.touched is None or flag in self.touched

    def _setting(self, name: bytes) -> bytes:
        told = {
            b"prefix": b"[%b]" % self.local, b"mimeremove": ANNOYING.rstrip(b"\n"), b"msgsize": b"30000:2",
            b"sublist": self.arguments.get(b"0", b""), b"digestcode": self.arguments.get(b"C", b""),
            b"modsub": self.arguments.get(b"8", b""), b"remote": self.arguments.get(b"9", b""),
        }.get(name, b"")  # fmt: skip
        return told + b"\n" if told else b""

    def _run(self, program: bytes, options: bytes = b"", end: bytes = b"") -> bytes:
        return b"|%b/%b%b '%b'%b\n" % (self.bin, program, options, self.path, end)

    def _editor(self) -> bytes:
        lines = []
        if b"0" not in self.arguments:
            lines.append(self._run(b"ezmlm-reject"))
            lines.append(self._run(b"ezmlm-checksub", b" -n", b" deny"))
        if b"u" in self.flags:
            lines.append(self._run(b"ezmlm-checksub", b"", b" . digest allow mod"))
        lines.append(self._run(b"ezmlm-send"))
        lines.append(self._warn())
        if b"d" in self.flags:
            digest = b"if %b/ezmlm-tstdig '%b'; then %b/ezmlm-get '%b' || exit 0; fi"
            lines.append(b"|" + digest % (self.bin, self.path, self.bin, self.path) + b"\n")
        return b"".join(lines)

    def _owner(self) -> bytes:
        told = self.arguments.get(b"5")
        return (b"%b/Mailbox\n" % self.path if told is None else told + b"\n") + self._warn()

    def _bouncer(self, option: bytes) -> bytes:
        return b"|%b/ezmlm-weed\n" % self.bin + self._run(b"ezmlm-return", b" " + option)

    def _manager(self) -> bytes:
        get = self._run(b"ezmlm-get") if b"a" in self.flags else b""
        return get + self._run(b"ezmlm-manage") + self._warn()

    def _warn(self) -> bytes:
        return self._run(b"ezmlm-warn", b"", b" || exit 0")

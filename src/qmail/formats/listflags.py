"""The letters that ezmlm-make calls a list's settings by, and the files that they are (ezmlm(5)).

Most files are empty, and only have to be there.
"""

from __future__ import annotations

SWITCHES = {
    b"archived": b"a", b"indexed": b"a", b"modgetonly": b"b", b"digested": b"d", b"prefix": b"f", b"subgetonly": b"g",
    b"nosubconfirm": b"h", b"nounsubconfirm": b"j", b"modcanlist": b"l", b"public": b"p", b"remote": b"r",
    b"modsub": b"s", b"addtrailer": b"t", b"subpostonly": b"u", b"nowarn": b"w",
    b"mimeremove": b"x", b"msgsize": b"x", b"sublist": b"0", b"digestcode": b"C",
}  # fmt: skip
# What lists of other versions may have, and ours may not.
OTHERS = {
    b"modpost": b"m", b"modpostonly": b"o", b"confirmpost": b"y", b"noreturnposts": b"m", b"threaded": b"i",
    b"modcanedit": b"n",
}  # fmt: skip
# All by letter; of several the first decides.
BY_LETTER = {letter: name for name, letter in reversed((SWITCHES | OTHERS).items())}

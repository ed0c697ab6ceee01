"""A queue program that keeps what it is given, for programs that hand messages over."""

from __future__ import annotations

from pathlib import Path

SCRIPT = """#!/bin/sh
i=1
until mkdir "{place}/$i" 2>/dev/null; do i=$((i+1)); [ $i -lt 99 ] || exit 53; done
cat >"{place}/$i/message"
cat <&1 >"{place}/$i/envelope"
{words}
exit {code}
"""


class Keeper:
    """The program at `path`, to be named in QMAILQUEUE; `code` is what it exits, `words` go to descriptor 6."""

    def __init__(self, place: Path, code: int = 0, words: str = "") -> None:
        self.place = place / "kept"
        self.place.mkdir()
        self.place.chmod(0o777)
        self.path = place / "keeper"
        said = f"printf '%s' '{words}' >&6" if words else ":"
        self.path.write_text(SCRIPT.format(place=self.place, code=code, words=said))
        self.path.chmod(0o755)

    @property
    def kept(self) -> list[tuple[bytes, bytes]]:
        """(message, envelope) of each submission, in order."""
        places = sorted(self.place.iterdir(), key=lambda path: int(path.name))
        return [((path / "message").read_bytes(), (path / "envelope").read_bytes()) for path in places]

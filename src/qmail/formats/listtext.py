"""The texts that a list answers with: tags replaced, sections chosen (ezmlm(5)).

`<#x#>` is replaced by what x stands for, a line `!A` by `<#A#>`, a line `!R` by `<#R#>`. Lines behind `<=FLAGS=>` up
to the next such line count only where the list has all these flags of ezmlm-make.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def filled(text: bytes, tags: Mapping[bytes, bytes], flags: bytes = b"") -> bytes:
    """The text as it is sent. `tags`: letter to value; tags that are not among them stay as they are."""
    lines, chosen = [], True
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if bare.startswith(b"<=") and bare.endswith(b"=>") and len(bare) >= 4:
            chosen = all(flag in flags for flag in bare[2:-2])
        elif chosen:
            if bare in (b"!A", b"!R"):
                line = line.replace(bare, b"<#%b#>" % bare[1:])
            lines.append(_replaced(line, tags))
    return b"".join(lines)


def _replaced(line: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    first, *parts = line.split(b"<#")
    pieces = [first]
    for part in parts:
        letter, end = part[:1], part[1:3]
        if end == b"#>" and letter in tags:
            pieces += [tags[letter], part[3:]]
        else:
            pieces += [b"<#", part]
    return b"".join(pieces)

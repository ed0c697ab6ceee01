"""SASLprep (RFC 4013): names and passwords, so that those that look alike are alike."""

from __future__ import annotations


def prepared(text: bytes) -> bytes | None:
    """SASLprep (RFC 4013) of UTF-8, for keeping; None where it is not allowed."""
    import stringprep
    import unicodedata

    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return None
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else "" if stringprep.in_table_b1(each) else each for each in characters
    )
    done = unicodedata.normalize("NFKC", mapped)
    forbidden = (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
        stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
        stringprep.in_table_c9, stringprep.in_table_a1,
    )  # fmt: skip
    if not done or any(table(each) for each in done for table in forbidden):
        return None
    # RFC 3454 6: text that is written from right to left has no letters of the other direction.
    if any(stringprep.in_table_d1(each) for each in done) and (
        any(stringprep.in_table_d2(each) for each in done)
        or not (stringprep.in_table_d1(done[0]) and stringprep.in_table_d1(done[-1]))
    ):
        return None
    return done.encode()

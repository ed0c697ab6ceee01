"""The one table of what is fuzzed, for `make test` and for `make fuzz`."""

from __future__ import annotations

from pathlib import Path

from fuzz import forwarding, lists, logins, mail, policies, queue, secure, smtp, tables, wire
from fuzz.laws import Target

GROUPS = (smtp, wire, mail, forwarding, lists, logins, policies, queue, secure, tables)
TABLE: dict[str, Target] = {target.name: target for group in GROUPS for target in group.TARGETS}
CORPUS = Path(__file__).resolve().parent / "corpus"  # TARGET/: inputs that found something, or lead far


def corpus(name: str) -> list[bytes]:
    """The kept inputs of one target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]

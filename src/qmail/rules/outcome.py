"""How a delivery ends, by the letter of its report (qmail-send's side of protocols.spawn)."""

from __future__ import annotations

OUTCOMES = DONE, DEFERRED, FAILED = b"KZD"

"""The envelope that a message in a Maildir begins with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmail.formats import address
from qmail.formats.deliverylines import read


@pytest.mark.parametrize(
    ("head", "sender", "recipient"),
    [
        (b"Return-Path: <s@a>\nDelivered-To: joe-x@b\n\nbody", b"s@a", b"joe-x@b"),
        (b"Return-Path: <>\nDelivered-To: joe\n", b"", b"joe"),
        (b"Return-Path: <needs quoting!@the..host>\nDelivered-To: a b@c\n", b"needs quoting!@the..host", b"a b@c"),
        (b'Return-Path: <"a b"@c>\nDelivered-To: x\n', b"a b@c", b"x"),
        (b'Return-Path: <"a\\"\\\\b">\nDelivered-To: x\n', b'a"\\b', b"x"),
        (b'Return-Path: <"a@b>\nDelivered-To: x\n', b'"a@b', b"x"),
        (b'Return-Path: <"a"b@c>\nDelivered-To: x\n', b'"a"b@c', b"x"),
        (b"Return-Path: <owner-@h-@[]>\nDelivered-To: x\n", b"owner-@h-@[]", b"x"),
    ],
)
def test_the_two_lines_are_the_envelope(head: bytes, sender: bytes, recipient: bytes) -> None:
    lines = read(head)
    assert lines is not None
    assert (lines.sender, lines.recipient) == (sender, recipient)
    assert head[: lines.size].endswith(b"Delivered-To: " + recipient + b"\n")


@pytest.mark.parametrize(
    "head",
    [
        b"", b"Return-Path: <a>", b"Return-Path: <a>\n", b"Return-Path: <a>\nDelivered-To: x", b"Return-Path: <\nDel",
        b"Return-Path: a\nDelivered-To: x\n", b"Delivered-To: x\nReturn-Path: <a>\n",
        b" Return-Path: <a>\nDelivered-To: x\n", b"Return-Path: <a>\nSubject: x\n",
        b"Return-Path: <a\0b>\nDelivered-To: x\n", b"Return-Path: <\nDelivered-To: x\n",
        b"Return-Path: <" + b"a" * 20_000 + b">\nDelivered-To: x\n",
    ],
)  # fmt: skip
def test_without_them_there_is_none(head: bytes) -> None:
    assert read(head) is None


@given(st.binary().map(lambda text: text.replace(b"\n", b"").replace(b"\0", b"")))
def test_a_sender_that_qmail_local_writes_is_read_again(sender: bytes) -> None:
    lines = read(b"Return-Path: <" + address.quote(sender) + b">\nDelivered-To: x\n")
    _, _, host = sender.rpartition(b"@")
    if b"\r" not in sender and not (b"@" in sender and (b">" in host or host.startswith(b'"'))):
        assert lines is not None and lines.sender == sender

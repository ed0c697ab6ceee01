"""Local sockets: who connects is known, names appear when ready, long paths work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import wait_until
from qmail.host import localsocket, locks


def test_the_listener_knows_who_connects(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "socket")
    listener = localsocket.Listener(path, 0o600)
    assert listener.accept() is None
    client = localsocket.connect(path, patience=5)
    peer = listener.accept()
    assert peer is not None
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.write(client, b"x")
    assert os.read(peer.descriptor, 9) == b"x"
    with pytest.raises(BlockingIOError):
        os.read(peer.descriptor, 9)
    for descriptor in (client, peer.descriptor):
        os.close(descriptor)
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        localsocket.connect(path)


def test_a_socket_in_a_deep_directory_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    path = os.fsencode(deep / "socket")
    listener = localsocket.Listener(path, 0o666, localsocket.PACKETS)
    client = localsocket.connect(path, localsocket.PACKETS)
    peer = listener.accept()
    assert peer is not None
    os.write(client, b"one")
    os.write(client, b"two")
    assert os.read(peer.descriptor, 100) == b"one"
    os.close(client)
    os.close(peer.descriptor)
    listener.close()


def test_a_full_backlog_never_makes_a_non_blocking_caller_wait(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "socket")
    listener = localsocket.Listener(path, 0o600, localsocket.PACKETS, backlog=0)
    clients = [localsocket.connect(path, localsocket.PACKETS)]
    with pytest.raises(BlockingIOError):
        for _attempt in range(5):
            clients.append(localsocket.connect(path, localsocket.PACKETS))
    for client in clients:
        os.close(client)
    listener.close()


def test_a_reader_with_patience_gives_up_in_time(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "socket")
    listener = localsocket.Listener(path, 0o600)
    client = localsocket.connect(path, patience=1)
    with pytest.raises(BlockingIOError):
        os.read(client, 1)
    os.close(client)
    listener.close()


def test_a_lock_is_held_by_one_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "lock")
    child = os.fork()
    if child == 0:
        locks.take(path)
        (tmp_path / "held").touch()
        os.read(0, 0)
        import signal

        signal.pause()
        os._exit(0)
    wait_until((tmp_path / "held").exists)
    assert locks.take(path) is None
    os.kill(child, 9)
    os.waitpid(child, 0)
    first = locks.take(path)
    assert first is not None
    assert locks.take(path) is None
    os.close(first)

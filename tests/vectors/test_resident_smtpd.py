"""Resident or not must not be visible: qmail-smtpd's recorded cases, by exec and through warm processes.

A warm process hands its messages to qmail-queued. Here that is a stand-in, which answers with the exit code of
the case's queue program. Cases that need a queue program of their own never come to a warm process.
"""

from __future__ import annotations

import json
import pwd
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resident
from conftest import BIN, SHARED, TOP, needs_root
from qmail.protocols import submit
from stand_ins.queued import Queued

RECORDED = SHARED / "vectors/qmail/cases/qmail-smtpd.json"
CASES = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
DIFFERENT = set(re.findall(r"`([a-z0-9@-]+)`", (TOP / "docs/differences.md").read_text()))
PATIENCE = 30.0

pytestmark = [
    needs_root,
    pytest.mark.skipif(not CASES, reason="needs the recorded cases in ../shared/vectors"),
]


class Warm:
    """Plays a case's input through a socket, and tells it as the engine does."""

    def __init__(self, home: Path) -> None:
        qmaild = pwd.getpwnam("qmaild")
        self.server = subprocess.Popen(
            ["/usr/bin/python3", "-IS", str(TOP / "tests/stand_ins/smtpd_server.py"), str(home),
             str(qmaild.pw_uid), str(qmaild.pw_gid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.port = int(self.said())

    def said(self) -> bytes:
        assert self.server.stdout is not None
        return self.server.stdout.readline().strip()

    def play(self, environ: dict[str, str], send: bytes, *, hold: bool) -> dict[str, Any]:
        """What the client heard, and the exit code."""
        assert self.server.stdin is not None
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            self.server.stdin.write(json.dumps(environ).encode() + b"\n")
            self.server.stdin.flush()
            assert self.said() == b"served"
            sender = threading.Thread(target=self._send, args=(client, send, hold))
            sender.start()
            heard = b""
            try:
                while piece := client.recv(65536):
                    heard += piece
            except ConnectionResetError:
                pass  # it was told, and had sent more
            sender.join()
        return {"stdout": heard, "stderr": b"", "exit": int(self.said()) >> 8}

    def _send(self, client: socket.socket, data: bytes, hold: bool) -> None:
        try:
            client.sendall(data)
            if not hold:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has hung up


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from qmail.stores.installation import create

    home = tmp_path_factory.mktemp("vectors") / "q"
    for directory in (home.parent, *home.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o755)
    create(str(home).encode())
    (home / "bin").rmdir()
    (home / "bin").symlink_to(BIN)
    engine = resident.engine(SHARED)
    warm = Warm(home)

    class Player(engine.Player):  # type: ignore[misc, name-defined]  # loaded at run time
        """As the engine, but a case marked `warm` is played by warm processes."""

        def run(self, case: Any, what: Any, tag: str = "run") -> Any:
            return self._warm(case) if case.get("warm") else super().run(case, what, tag)

        def dialogue(self, case: Any) -> Any:
            if not case.get("warm"):
                return super().dialogue(case)
            seen = self._warm(case)
            lines = seen["stdout"].splitlines(keepends=True)
            count = sum(step.get("lines", 0) for step in case["steps"])
            talk = [self.norm(line) for line in lines[:count]]
            return {**seen, "talk": talk, "stdout": b"".join(lines[count:])}

        def _warm(self, case: Any) -> Any:
            send = self.fill(case.get("stdin", "")).encode("latin-1")
            environ = {name: self.fill(value) for name, value in case.get("env", {}).items()}
            if "qq" not in case:
                return warm.play(environ, send, hold=bool(case.get("hold")))
            with Queued(home, submit.answer(case["qq"].get("exit", 0), 7)) as queued:
                seen = warm.play(environ, send, hold=bool(case.get("hold")))
            for number, (text, envelope) in enumerate(queued.messages, 1):
                place = Path(self.t) / "qq" / str(number)
                place.mkdir()
                (place / "mess").write_bytes(text)
                (place / "env").write_bytes(envelope)
            return seen

    player = Player(str(home), str(BIN))
    player.alias = str(home / "alias")  # these cases need nothing of user alias, and nothing of theirs is touched
    yield player
    warm.server.stdin.close()  # type: ignore[union-attr]  # a pipe
    warm.server.wait(30)


def without_abandoned(seen: Any) -> Any:
    """A result without what a queue program saw of messages that came to nothing; qmail-queued sees nothing of them."""
    if "qq" in seen:
        seen = {**seen, "qq": [message for message in seen["qq"] if message["env"]]}
    return seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_qmail_smtpd_does_the_same_as_a_program_and_in_a_warm_process(player: Any, case: Any) -> None:
    executed = json.loads(json.dumps(player.play(case)))
    if case["id"] not in DIFFERENT:
        assert executed == case["expect"]
    if set(case.get("qq", {})) <= {"exit"}:
        through = json.loads(json.dumps(player.play({**case, "warm": True})))
        assert without_abandoned(through) == without_abandoned(executed)

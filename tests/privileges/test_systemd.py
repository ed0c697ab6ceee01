"""The units of setup/systemd: they name programs and users that there are, and the port is handed over."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import smtplib
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from conftest import BIN, TOP, needs_root, wait_until
from journeys.conftest import free_port
from qmail.services.catalogue import programs
from submitting import files

UNITS = sorted((TOP / "setup/systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
USERS = {  # None: root, for qmail-lspawn, and to read the keys
    "qmail-queued": "qmailq", "qmail-send": None, "qmail-rcptd": "qmailp", "qmail-smtpd": "qmaild",
    "qmail-tlsd": None, "qmail-verifyd": "qmailr", "qmail-checkd": None,
}  # fmt: skip


def read(path: Path) -> RawConfigParser:
    parser = RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names as they are written
    parser.read_string(path.read_text())
    return parser


def test_the_target_wants_what_there_is() -> None:
    wanted = read(TOP / "setup/systemd/qmail.target")["Unit"]["Wants"].split()
    names = {path.name for path in UNITS}
    assert set(wanted) <= names
    assert names - set(wanted) == {"qmail.target", "qmail-smtpd.service"}, "the last one is started by its socket"


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_runs_our_program_as_the_right_user(path: Path) -> None:
    service = read(path)["Service"]
    words = service["ExecStart"].split()
    for word in words:
        if word.startswith("/var/qmail/bin/"):
            assert word.removeprefix("/var/qmail/bin/") in programs()
    assert service.get("User") == USERS[path.stem]
    if path.stem in ("qmail-send", "qmail-smtpd"):
        assert "NoNewPrivileges" not in service, "a user's program may be setuid"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (Debian: systemd)")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        (tmp_path / path.name).write_text(path.read_text().replace("/var/qmail/bin", str(BIN)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--generators=no", *(tmp_path / path.name for path in UNITS)],
        capture_output=True, timeout=60, check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    complaints = [line for line in done.stderr.decode().splitlines() if str(tmp_path) in line or "qmail" in line]
    assert (done.returncode, complaints) == (0, [])


@needs_root
@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="needs systemd-socket-activate")
def test_the_port_is_handed_over_and_nobody_is_root(home: Path, queued: object) -> None:
    (home / "control/me").write_text("here.example\n")
    (home / "control/rcpthosts").write_text("here.example\n")
    service = read(TOP / "setup/systemd/qmail-smtpd.service")["Service"]
    port = free_port()
    words = service["ExecStart"].replace("/var/qmail", str(home)).split()
    user = pwd.getpwnam(service["User"])
    log = home.parent / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", f"-EQMAIL_HOME={home}", *words],
            user=user.pw_uid, group=user.pw_gid, extra_groups=[], stderr=said, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until(lambda: b"Listening" in log.read_bytes())
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.sendmail("a@b.example", ["joe@here.example"], "Subject: x\r\n\r\nx\r\n")
        assert Path(f"/proc/{process.pid}/comm").read_text() == "tcpserver\n"
        assert "Uid:\t" + "\t".join([str(user.pw_uid)] * 4) in Path(f"/proc/{process.pid}/status").read_text()
        assert any(name.startswith("mess/") for name in files(home))
        wait_until(lambda: b"tcpserver: ok " in log.read_bytes())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

"""The Containerfile, read line by line; and its entry point, run as an ordinary user."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TOP, needs_root, open_to_others, wait_until
from journeys.conftest import free_port
from privileges.running import is_served

FILE = TOP / "Containerfile"
START = TOP / "setup/container/start.sh"
SOMEBODY = 2525
KNOWN = {
    "FROM", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "ENV",
}  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    """(instruction, its words) in order, lines that go on put together."""
    lines = [line for line in FILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines()]


def words(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_only_known_instructions_stand_in_it() -> None:
    assert {name for name, _ in instructions()} <= KNOWN
    assert instructions()[0] == ("FROM", "debian:stable-slim")
    assert len(words("FROM")) == len(words("ENTRYPOINT")) == 1


def test_packages_are_installed_in_one_layer_that_is_cleaned() -> None:
    (apt,) = [rest for rest in words("RUN") if "apt-get" in rest]
    steps = [shlex.split(step) for step in apt.split("&&")]
    assert steps[0] == ["apt-get", "update"]
    assert {"--yes", "--no-install-recommends"} <= set(steps[1])
    assert steps[-1] == ["rm", "-rf", "/var/lib/apt/lists/*"]


def test_it_is_installed_as_anywhere_else() -> None:
    assert any("make setup QMAIL_HOME=/opt/qmail" in step for rest in words("RUN") for step in rest.split(" && "))
    for source in (word for rest in words("COPY") for word in rest.split()[:-1]):
        assert (TOP / source).exists()
    assert any("setup/container/start.sh /opt/qmail/start" in rest for rest in words("RUN"))
    assert json.loads(words("ENTRYPOINT")[0]) == ["/opt/qmail/start"]


def test_what_runs_is_no_root_and_needs_no_low_port() -> None:
    order = [name for name, _ in instructions()]
    (user,) = words("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert max(at for at, name in enumerate(order) if name == "RUN") < order.index("USER") < order.index("ENTRYPOINT")
    (port,) = words("EXPOSE")
    assert int(port.removesuffix("/tcp")) >= 1024
    assert words("VOLUME") == ["/srv/qmail"]


def test_no_secret_is_in_it() -> None:
    text = FILE.read_text().lower()
    assert not re.search(r"passw|secret|token|api_?key|private", text)
    assert not re.search(r"curl|wget|\bsudo\b|\badd\b|chmod 777|4755", text)
    ignored = (TOP / ".containerignore").read_text().split()
    assert {".git", ".venv", "run"} <= set(ignored)


def test_the_entry_point_becomes_svscan() -> None:
    lines = START.read_text().splitlines()
    assert lines[-1] == 'exec svscan --stop "$home/service"'
    assert "set -eu" in lines
    assert START.stat().st_mode & 0o111


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Programs of root's, and a directory of somebody's."""
    subprocess.run(
        ["sh", TOP / "setup/install.sh", TOP / ".venv", tmp_path / "opt"], check=True, stdout=subprocess.DEVNULL
    )
    home = tmp_path / "srv"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    yield open_to_others(tmp_path)


@needs_root
def test_it_takes_mail_delivers_it_stops_at_term_and_goes_on(place: Path) -> None:
    for count in (1, 2):
        port = free_port()
        environment = {
            "QMAIL_HOME": str(place / "srv"), "QMAIL_PROGRAMS": str(place / "opt"), "MAIL_PORT": str(port),
            "MAIL_HOST": "box.example", "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        with (place / "log").open("ab") as log:
            process = subprocess.Popen(
                [START], env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                user=SOMEBODY, group=SOMEBODY, extra_groups=[], start_new_session=True,
            )  # fmt: skip
        try:
            wait_until(lambda port=port: answers(port) and is_served(place / "srv"), 30)  # type: ignore[misc]
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("", ["anybody@box.example"], "Subject: x\r\n\r\nx\r\n")
            new = place / "srv/alias/Maildir/new"
            wait_until(lambda new=new, count=count: len(list(new.iterdir())) == count)  # type: ignore[misc]
            assert Path(f"/proc/{process.pid}/comm").read_text() == "svscan\n"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (place / "log").read_text()
        assert {path.stat().st_uid for path in new.iterdir()} == {SOMEBODY}
        assert "delivery 1: success" in (place / "log").read_text()


def answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5):
            return True
    except OSError:
        return False


@needs_root
def test_root_is_sent_away() -> None:
    done = subprocess.run([START], capture_output=True, env={"PATH": "/usr/bin:/bin"}, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (111, b"")
    assert done.stderr == b"start: this is for an ordinary user, not for root\n"

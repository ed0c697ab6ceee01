"""crypt(3): hashes that others have made."""

from __future__ import annotations

import subprocess

import pytest

from qmail.host import libcrypt


@pytest.mark.parametrize("kind", ["-1", "-5", "-6"])
def test_hashes_agree_with_those_of_openssl(kind: str) -> None:
    made = subprocess.run(
        ["openssl", "passwd", kind, "-stdin"], input=b"secret\n", capture_output=True, check=True, timeout=60
    ).stdout.strip()
    assert libcrypt.crypt(b"secret", made) == made
    assert libcrypt.crypt(b"Secret", made) != made


def test_bcrypt_is_known() -> None:
    known = b"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  # of `U*U`, in every bcrypt's tests
    assert libcrypt.crypt(b"U*U", known) == known


def test_a_new_setting_is_another_one_each_time() -> None:
    first, second = libcrypt.new_setting(), libcrypt.new_setting()
    assert first != second
    made = libcrypt.crypt(b"secret", first)
    assert made is not None and made.startswith(first)
    assert libcrypt.crypt(b"secret", made) == made


def test_the_oldest_library_makes_sha512(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        pass

    real = libcrypt._library()
    monkeypatch.setattr(libcrypt, "_library", Old)
    setting = libcrypt.new_setting()
    monkeypatch.setattr(libcrypt, "_library", lambda: real)
    made = libcrypt.crypt(b"secret", setting)
    assert made is not None and made.startswith(b"$6$")


@pytest.mark.parametrize("setting", [b"*0", b"!", b"$no$such$kind", b"", b"$6"])
def test_what_is_no_hash_makes_none(setting: bytes) -> None:
    assert libcrypt.crypt(b"secret", setting) is None


def test_a_system_without_crypt_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypt, "LIBRARIES", ("no-such-library.so",))
    with pytest.raises(libcrypt.Unavailable):
        libcrypt.crypt(b"secret", b"$6$x$")

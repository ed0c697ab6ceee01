"""Install into a home: `install.py HOME LIB SITE`.

Its directories with their owners, the library from LIB (which holds qmail/) and SITE (which holds the DNS
library), a launcher for every program, and the texts of boot/, man/ and doc/. Run again it renews these
and changes nothing else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(home: bytes, lib: str, site: str) -> int:
    """Make `home`. Returns the exit code."""
    import texts
    from qmail.services.catalogue import programs
    from qmail.stores.installation import create
    from qmail.stores.library import Source, install, launchers

    source = Source(lib, site, os.path.realpath(sys.executable))
    os.umask(0o022)
    create(home)
    install(home, source)
    place = os.fsdecode(home) + "/lib"
    count = launchers(home + b"/bin", programs(), Source(place, place, source.interpreter))
    texts.write(Path(os.fsdecode(home)))
    print(f"{count} programs in {os.fsdecode(home)}/bin")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    from qmail.host.program import ended

    sys.exit(ended(b"setup", lambda: main(os.fsencode(os.path.abspath(sys.argv[1])), *sys.argv[2:4])))

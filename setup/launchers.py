"""Write a launcher for every program: `launchers.py BIN LIB INTERPRETER SITE`.

LIB holds our library, SITE those of others, which come last.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    target, lib, interpreter, site = sys.argv[1:5]
    sys.path.insert(0, lib)
    from qmail.services.catalogue import programs
    from qmail.stores.library import Source, launchers

    print(f"{launchers(os.fsencode(target), programs(), Source(lib, site, interpreter))} programs in {target}")

"""Every program's name, and the module whose `main` it starts.

A program's name is that of its file, `_` as `-`. The two tables are what that rule cannot say.
"""

from __future__ import annotations

import os

# Programs that a service composes with warm processes: name to module.
COMPOSED: dict[str, str] = {
    "mailq": "qmail.services.sendmail",
    "qmail": "qmail.services.umbrella",
    "qmail-lmtpd": "qmail.services.lmtpd",
    "qmail-lspawn": "qmail.services.local_delivery",
    "qmail-rspawn": "qmail.services.remote_delivery",
    "sendmail": "qmail.services.sendmail",
    "svscan": "qmail.services.svscan",
    "tcpserver": "qmail.services.tcpserver",
}

# Names that are no module names, or second names of a program.
SPELLED = {
    "date@": "qmail.programs.ucspi.date_",
    "except": "qmail.programs.commands.except_",
    "finger@": "qmail.programs.ucspi.finger_",
    "http@": "qmail.programs.ucspi.http_",
    "who@": "qmail.programs.ucspi.who_",
}


def programs() -> dict[str, str]:
    """Name to module, of all programs in this tree."""
    import qmail.programs

    top = os.path.dirname(qmail.programs.__file__ or "")
    found = {}
    for folder in sorted(os.listdir(top)):
        if os.path.isdir(os.path.join(top, folder)):
            for file in sorted(os.listdir(os.path.join(top, folder))):
                stem, _, ending = file.rpartition(".")
                if ending == "py" and not stem.startswith("_") and not stem.endswith("_"):
                    found[stem.replace("_", "-")] = f"qmail.programs.{folder}.{stem}"
    for name, module in SPELLED.items():
        if os.path.exists(os.path.join(top, *module.split(".")[2:]) + ".py"):
            found[name] = module
    return found | COMPOSED

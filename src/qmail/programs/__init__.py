"""The programs, one file each, in folders that follow a message.

network ──> ucspi ──> receive ──┐
              person ─> inject ─┴─> queue ──> deliver ──> mailbox ──> retrieve
   commands: what a .qmail line runs        administer: what a person runs
   lists: mailing lists, whose .qmail lines and owners run these
   daemontools: keeps the daemons running, and knows nothing of mail
"""

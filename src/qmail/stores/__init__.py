"""Files with mail meaning: control, queue, users, mailboxes, service directories, logs."""

"""Mailboxes, and the way out of them."""

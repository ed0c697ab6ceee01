"""Mailing lists: what the .qmail files of a list run, and what its owner runs."""

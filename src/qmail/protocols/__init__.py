"""Conversations, pure: bytes in, events and bytes out."""

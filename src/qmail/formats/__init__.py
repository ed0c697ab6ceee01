"""Bytes to values and back, pure; the bottom of the house."""

"""Keeps everything running, and knows no mail."""

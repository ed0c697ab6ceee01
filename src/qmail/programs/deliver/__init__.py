"""Spawners and delivery agents."""

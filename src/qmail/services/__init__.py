"""Composition: which programs live together in one warm process family, and which module each name starts."""

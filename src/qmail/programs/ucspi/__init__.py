"""The network comes in; no mail here."""

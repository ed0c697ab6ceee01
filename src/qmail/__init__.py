"""pyqmail: qmail, ucspi-tcp and daemontools as small programs around a queue on disk."""

__version__ = "0.1.0"

"""What can keep a row from being measured."""

from __future__ import annotations


class NotRun(Exception):
    """A peer is not on this machine; the message says what to install. The row is reported as not run."""


class PeerFailed(Exception):
    """A contestant's process broke, or computes something else than its rival. The message holds its last words."""

"""What can be wrong with a file, before anybody knows its name."""

from __future__ import annotations


class Damaged(Exception):
    """The bytes are not what torch writes; the message completes "FILE is not a whole torch file"."""


class Forbidden(Exception):
    """The file asks for an object that isn't weights; the message is the object's name."""

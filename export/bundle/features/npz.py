"""npz files: a zip archive of npy files. numpy's own reader believes what a header says, and parses it as Python."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidFeatures
from .archive import read_archive
from .kinds import check_kind, shaped

_MAGIC = b"\x93NUMPY"
# The length of a header, by the format's version: numpy's headers have some hundred bytes.
_LENGTHS = {b"\1\0": struct.Struct("<H"), b"\2\0": struct.Struct("<L")}
_LONGEST_HEADER = 4096
# A dict of three entries as numpy and others write it, in any order.
_HEADER = re.compile(
    rb"\{(?:[\s,]*+(?:'descr'\s*+:\s*+'(?P<kind>[^']{1,20})'|'fortran_order'\s*+:\s*+(?P<fortran>True|False)"
    rb"|'shape'\s*+:\s*+\((?P<shape>[\dL,\s]*+)\))){3}[\s,]*+\}\s*+"
)
_KIND = re.compile(r"[<>|=]?[a-zA-Z]\d{1,3}")
_LONGEST_SIZE = 19


def read_npz(data: memoryview, largest: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file; at most ``largest`` bytes are unpacked.

    Raises:
        InvalidFeatures: no such file, too large, or with what isn't an array of numbers.
    """
    members, found = read_archive(data, largest), dict[str, npt.NDArray[Any]]()
    for member, content in members.items():
        name = member.removesuffix(".npy")
        if name in found:
            raise InvalidFeatures(f"the npz file has {name!a:.60} twice")
        found[name] = _array(name, content)
    return found


def _array(name: str, content: memoryview) -> npt.NDArray[Any]:
    magic, version = bytes(content[: len(_MAGIC)]), bytes(content[len(_MAGIC) :][:2])
    length, start = _LENGTHS.get(version, _LENGTHS[b"\1\0"]), len(_MAGIC) + 2
    if magic != _MAGIC or version not in _LENGTHS or len(content) < start + length.size:
        raise InvalidFeatures(f"{name!a:.60} is no npy array of the version 1 or 2: save it by numpy")
    (size,) = length.unpack(content[start : start + length.size])
    start += length.size
    told = _HEADER.fullmatch(bytes(content[start : start + size])) if size <= _LONGEST_HEADER else None
    if told is None or None in (told["kind"], told["fortran"], told["shape"]):
        raise InvalidFeatures(f"{name!a:.60} is no npy array of numbers: its header is none that numpy writes for one")
    sizes = told["shape"].replace(b"L", b"").split(b",")
    if any(len(each.strip()) > _LONGEST_SIZE or len(each.split()) > 1 for each in sizes):
        raise InvalidFeatures(f"{name!a:.60} has a shape that no array has")
    shape = [int(each) for each in sizes if each.strip()]
    dtype = _dtype(name, told["kind"].decode("latin-1"))
    return shaped(name, content[start + size :], dtype, shape, "F" if told["fortran"] == b"True" else "C")


def _dtype(name: str, told: str) -> np.dtype[Any]:
    try:
        if _KIND.fullmatch(told) is None:
            raise TypeError(told)
        dtype = np.dtype(told)
    except TypeError as error:
        raise InvalidFeatures(f"{name!a:.60} is {told!a}, no type of numpy's: save it by numpy") from error
    check_kind(name, dtype)
    return dtype

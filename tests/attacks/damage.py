"""Seeded damage to files and to JSON, for rounds of attacks of any length."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD_VALUES = (
    None,
    True,
    0,
    -1,
    5,
    1 << 20,
    1 << 61,
    10**400,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "../../outside",
    "/etc/passwd",
    "model.py",
    "triton_python_backend_utils.py",
    "x; touch executed",
    "a\nb",
    "\ud800",
    "é" * 5000,
    [],
    [[]],
    {},
    {"a": []},
)


def damaged(raw: bytes, random_: random.Random) -> bytes:
    """The bytes with one to four kinds of damage: flipped, cut, zeroed, moved, repeated or put in anew."""
    data = bytearray(raw)
    for _ in range(random_.randint(1, 4)):
        place = random_.randrange(len(data) + 1)
        length = random_.choice((1, 2, 4, 8, 64, 1000))
        match random_.randrange(7):
            case 0:
                for _ in range(random_.choice((1, 1, 3, 20))):
                    if data:
                        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
            case 1:
                del data[place:]
            case 2:
                data[place : place + length] = bytes(len(data[place : place + length]))
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length]
            case 5:
                data[place:place] = random_.randbytes(length)
            case 6:
                data[place : place + length] = b"\xff" * len(data[place : place + length])
    return bytes(data)


def odd_json(text: str, random_: random.Random) -> str:
    """A JSON text in which one to three values are odd, missing, nested without end, or have another name."""
    value = json.loads(text)
    for _ in range(random_.randint(1, 3)):
        places = _places(value)
        if not places:
            break
        holder, key = random_.choice(places)
        match random_.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[random_.choice(("../x", "model.py", "a/b", ""))] = holder.pop(key)
            case 2:
                nested: Any = []
                for _ in range(200):
                    nested = [nested]
                holder[key] = nested
            case _:
                # A copy: the next odd value may be put into this one.
                holder[key] = copy.deepcopy(random_.choice(ODD_VALUES))
    return json.dumps(value)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every holder and key in a JSON value."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        holder = left.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, key) for key in keys]
        left += [holder[key] for key in keys]
    return found

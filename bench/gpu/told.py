"""What the parts of a run tell those that come after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...kernels.topk_attention.configs import Storage
    from .scoring import Limits
    from .variants import Variant


@dataclass
class Told:
    """Sent from process to process.

    Attributes:
        limits: the device's ceilings, once they were measured.
        chosen: variants that were faster than those that are used, by storage and number of queries.
        failed: why variants could not be compiled, by their names.
        errors: of the scorers of plain vectors whose kernels were found right.
        faults: what was found to be wrong, or failed.
    """

    limits: Limits | None = None
    chosen: dict[tuple[Storage, int], Variant] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

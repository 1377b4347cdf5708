"""What a head's biases mean for bounds of its scores. The algebra: ``factorised``."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST, _SMALL = 1e6, 1e-3


@dataclass(frozen=True)
class Biases:
    """Four numbers of a checkpoint that say how far sqrt(e) is from linear in the weights. Without biases they are 0.

    Attributes:
        spread: sqrt(epsilon_3 + |n|^2 / D), where n is what LayerNorm 2's bias has become before LayerNorm 3.
        offset: |gain_3 n|.
        bias: |bias_3|.
        kappa: twice bias_3 . (gain_3 n), a text's fourth scalar.

    Raises:
        ValueError: numbers that can't be these.
    """

    spread: float
    offset: float
    bias: float
    kappa: float

    def __post_init__(self) -> None:
        numbers = (self.spread, self.offset, self.bias, self.kappa)
        fine = all(type(one) in (int, float) and abs(one) < _LARGEST for one in numbers) and min(numbers[:3]) >= 0
        if not fine or abs(self.kappa) > 2 * self.offset * self.bias + _SMALL:
            raise ValueError(f"the biases {str(numbers)[:120]} are no checkpoint's")

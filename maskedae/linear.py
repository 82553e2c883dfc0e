"""Linear maps; a CPU multiplies large ones with oneDNN, for BLAS libraries are slower on some."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

LARGE = 2**25  # products from which on it is worth to set oneDNN up, 0.6 ms for each new shape
PLAIN = {Tensor, nn.Parameter}  # others stand for values that lie elsewhere, or in other forms
ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class Linear(nn.Linear):
    """`torch.nn.Linear` by way of `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(.., D) -> (.., D')."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`: (.., D), (D', D), (D') -> (.., D')."""
    if suits_onednn(x, weight):
        return _Linear.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether a product is large, of single precision, on a CPU, and computed at once.

    What is compiled, exported or traced keeps the linear maps that compilers know.
    """
    jit: Any = torch.jit
    if torch.compiler.is_compiling() or jit.is_tracing():
        return False
    return bool(
        x.device.type == "cpu"
        and x.dim() > 1
        and {type(x), type(weight)} <= PLAIN
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * len(weight) >= LARGE
        and ONEDNN is not None
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return ONEDNN(x, weight, bias, "none", [], "")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (gradient,) = ctx.saved_tensors, given
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows, of_rows = gradient.flatten(0, -2), x.flatten(0, -2)
        # To turn rows into columns is dear where they are long: BLAS then is the faster.
        narrow = rows.shape[1] < of_rows.shape[1]
        return (
            _product(gradient, weight, True) if of_x else None,
            _product(rows.T, of_rows, narrow) if of_weight else None,
            rows.sum(dim=0) if of_bias else None,
        )


def _product(one: Tensor, other: Tensor, onednn: bool) -> Tensor:
    """(.., K), (K, L) -> (.., L), by oneDNN unless gradients of gradients are asked for."""
    if onednn and not torch.is_grad_enabled():
        return ONEDNN(one, other.T, None, "none", [], "")
    return one @ other


if ONEDNN is not None:

    @register_flop_formula(ONEDNN)
    def _flops(x_shape: Any, weight_shape: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        """What PyTorch's counter of operations is to count."""
        return 2 * int(math.prod(x_shape)) * int(weight_shape[0])

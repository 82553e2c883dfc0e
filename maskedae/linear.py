"""Linear maps; a CPU multiplies large ones with oneDNN, for BLAS libraries are slower on some."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

LARGE = 2**25  # multiplications from which on setting oneDNN up is worth it
MOST = 100  # shapes that oneDNN is set up for: it keeps about a MB for each
Shape = tuple[int, int, int]
_shapes: set[Shape] = set()


class Linear(nn.Linear):
    """`torch.nn.Linear` by way of `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(.., D) -> (.., D')."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`: (.., D), (D', D), (D') -> (.., D')."""
    if suits_onednn(x, weight, bias) and _known((x.shape[:-1].numel(), *weight.shape)):
        rows: Tensor = _Linear.apply(x.flatten(0, -2), weight, bias)
        return rows.view(*x.shape[:-1], len(weight))
    return F.linear(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether a product is large, and of plain tensors of single precision on a CPU.

    What is compiled, traced or watched keeps the linear maps that others know, and so does what
    does not fit, for PyTorch to say so.
    """
    if torch.compiler.is_compiling():
        return False
    parts = [part for part in (x, weight, bias) if part is not None]
    jit: Any = torch.jit
    return bool(
        all(map(_is_plain, parts))
        and x.dim() > 1
        and weight.dim() == 2
        and x.shape[-1] == weight.shape[1]
        and x.numel() * len(weight) >= LARGE
        and (bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous()))
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
        and not jit.is_tracing()
        and not is_in_torch_dispatch_mode()
        and forward_ad._current_level < 0  # what is differentiated forwards
    )


def _is_plain(part: Tensor) -> bool:
    return (
        type(part) in (Tensor, nn.Parameter)
        and part.device.type == "cpu"
        and part.dtype == torch.float32
        and part.layout == torch.strided
        and not part.is_nested
    )


def _known(shape: Shape) -> bool:
    """Whether oneDNN is set up for a shape, or is to be."""
    if len(_shapes) < MOST:
        _shapes.add(shape)
    return shape in _shapes


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _onednn(rows, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        rows, weight, _ = inputs
        of_rows, of_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if of_weight else None, weight if of_rows else None)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight) if of_rows else None,
            _of_weight(gradient, rows) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


def _of_weight(gradient: Tensor, rows: Tensor) -> Tensor:
    """The gradient of the weight: (N, D'), (N, D) -> (D', D)."""
    # oneDNN copies what is transposed, which takes it longer than BLAS where that is the larger.
    if gradient.shape[1] < rows.shape[1]:
        return _product(gradient.T, rows)
    return gradient.T @ rows


def _product(one: Tensor, other: Tensor) -> Tensor:
    """By oneDNN, unless gradients of gradients are asked for: (N, K), (K, M) -> (N, M)."""
    return one @ other if torch.is_grad_enabled() else _onednn(one, other.T, None)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

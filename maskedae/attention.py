"""Attention: one function, a choice of kernels that all give the same numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskedae.linear import Linear, linear

# Queries, keys, values (B, heads, N, d), and what is added to their scores, (B, heads, N, N) or
# what spreads to it.
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
Widen = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def eager(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention written out, with its maps: 3 x (B, heads, N, d) -> (.., N, d), (.., N, N)."""
    scores = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
    maps = (scores if bias is None else scores + bias).softmax(dim=-1)
    return maps @ v, maps


def _eager(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    return eager(q, k, v, bias)[0]


def _xformers(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    from xformers.ops import memory_efficient_attention  # an extra, not a dependency

    if bias is not None:
        bias = bias.expand(*q.shape[:3], k.shape[2]).contiguous()
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return memory_efficient_attention(q, k, v, attn_bias=bias).transpose(1, 2)


def _pinned(backend: SDPBackend) -> Kernel:
    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, bias)

    return attend


KERNELS: dict[str, Kernel] = {
    "sdpa": F.scaled_dot_product_attention,
    "sdpa-flash": _pinned(SDPBackend.FLASH_ATTENTION),
    "sdpa-cudnn": _pinned(SDPBackend.CUDNN_ATTENTION),
    "sdpa-efficient": _pinned(SDPBackend.EFFICIENT_ATTENTION),
    "sdpa-math": _pinned(SDPBackend.MATH),
    "xformers": _xformers,
    "eager": _eager,
}


def divided(width: int, heads: int) -> int:
    """The number of heads. Raises ValueError where they cannot share the width."""
    if width % heads:
        raise ValueError(f"a width of {width} does not divide into {heads} heads")
    return heads


def keys_held(bias: Tensor) -> Tensor:
    """Biases of queries, keys and values, (3 D) -> (3 D), those of keys without a gradient.

    One shift of all keys changes no attention: its gradient is zero but for rounding, which Adam
    would turn into steps of full length, other ones for every split of the batch.
    """
    q, k, v = bias.chunk(3)
    return torch.cat([q, k.detach(), v])


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    biased = False  # whether a kernel must take what is added to the scores

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = divided(width, heads)
        self.kernel = KERNELS["sdpa"]
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(
        self,
        x: Tensor,
        last: int | None = None,
        bias: Tensor | None = None,
        widen: Widen | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D); where only the last K ask, (B, K, D).

        `bias` is added to the scores, see `Kernel`; `widen` adds to what they are products of.
        """
        parts = linear(x, self.qkv.weight, keys_held(self.qkv.bias)).chunk(3, dim=-1)
        q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads) for part in parts)
        q, width = q if last is None else q[:, :, -last:], v.shape[-1]
        if widen is not None:
            q, k, v = widen(q, k, v)
        found = self.kernel(q, k, v, bias)[..., :width]
        return self.proj(rearrange(found, "b h n d -> b n (h d)"))


def attentions(model: nn.Module) -> list[Any]:
    """Every attention of a model: what has a kernel."""
    return [module for module in model.modules() if hasattr(module, "kernel")]


def set_kernel(model: nn.Module, name: str) -> None:
    """Make every attention of a model use the kernel of that name, one of KERNELS."""
    if name not in KERNELS:
        raise ValueError(f"no attention kernel is called {name}; there are {', '.join(KERNELS)}")
    for layer in attentions(model):
        layer.kernel = KERNELS[name]


def try_kernels(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Raise ValueError if the kernel of a model does not work where it is to be used."""
    flags = [(part, name) for part in model.modules() for name in ("ragged", "lacking")]
    absent = any(getattr(part, name, False) for part, name in flags)  # something is shut out then
    for kernel, biased in {(layer.kernel, layer.biased or absent) for layer in attentions(model)}:
        x = torch.zeros(1, 1, 8, 64, device=device, dtype=dtype)
        try:
            kernel(x, x, x, x[..., :8] if biased else None)
        except ImportError as error:
            raise ValueError(f"{error}: pip install 'maskedae[xformers]'") from error
        except (RuntimeError, NotImplementedError) as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"this attention kernel does not work here: {why}") from error


@contextmanager
def record_maps(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the attention maps (B, heads, N, N) of every layer, in the order they run.

    Maps of W windows of L tokens are (B, W heads, L, L).
    """
    maps: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        out, weights = eager(q, k, v, bias)
        maps.append(weights)
        return out

    layers = attentions(model)
    before = [layer.kernel for layer in layers]
    for layer in layers:
        layer.kernel = attend
    try:
        yield maps
    finally:
        for layer, kernel in zip(layers, before, strict=True):
            layer.kernel = kernel

"""Attention kernels and decoders of pictures, each tried and compared with what is right."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torchvision.io
from PIL import Image
from torch import Tensor

from maskedae.attention import KERNELS, Kernel, eager
from maskedae.doctor.environment import OPTIONAL, Finding, State, short

TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 3e-2}  # of the largest value; TF32 is allowed
NEEDED = ("sdpa", "eager")  # kernels that models take by default
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "TIFF", "BMP")
LOSS = 8  # of 255, on average: what compression may cost a smooth picture


def attend(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Output and gradients of attention over the same small tensors, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, 2, 4, 64, 32, generator=generator)  # (., B, heads, N, d)
    *inputs, weight = drawn.to(device, dtype).unbind()
    q, k, v = (x.clone().requires_grad_() for x in inputs)
    out = kernel(q, k, v, None)
    return [x.float().cpu() for x in (out, *torch.autograd.grad(out, (q, k, v), weight))]


def try_kernel(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> float:
    """Largest deviation of outputs and gradients from attention written out."""
    exact = attend(lambda *qkv: eager(*qkv)[0], torch.device("cpu"), torch.float32)
    pairs = zip(attend(kernel, device, dtype), exact, strict=True)
    return max(((ours - true).abs().max() / true.abs().max()).item() for ours, true in pairs)


def verdict(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """Say in a word how an attention kernel does: right, wrong or refuses."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            error = try_kernel(KERNELS[name], device, dtype)
        except Exception as refusal:
            # SDPA says why in warnings, and in the error only that it will not.
            reasons = [str(item.message).split(" (Triggered")[0] for item in caught]
            return f"refuses: {reasons[-1] if reasons else short(refusal)}"
    return "right" if error <= TOLERANCE[dtype] else f"wrong: off by {error:.1e}"


def judge_kernel(name: str, device: torch.device) -> Finding:
    """Try an attention kernel in every precision."""
    verdicts: dict[str, list[str]] = {}
    for dtype in TOLERANCE:
        precision = str(dtype).removeprefix("torch.")
        verdicts.setdefault(verdict(name, device, dtype), []).append(precision)
    needed, works = name in NEEDED, "right" in verdicts
    wrong = any(word.startswith("wrong") for word in verdicts) or (needed and not works)
    state: State = "broken" if wrong else "ok" if works else "missing"
    detail = "; ".join(f"{word} ({', '.join(which)})" for word, which in verdicts.items())
    remedy = ""
    if not works and name in OPTIONAL:
        remedy = f"pip install 'maskedae[{name}]'"
    return Finding(state, name, detail, remedy, needed)


def find_kernels(device: torch.device) -> list[Finding]:
    """Try every attention kernel on a device."""
    return [judge_kernel(name, device) for name in KERNELS]


def sample() -> np.ndarray:
    """A smooth picture that survives compression: (48, 64, 3)."""
    down, across = np.mgrid[0 : 255 : 48 * 1j, 0 : 255 : 64 * 1j]
    return np.stack([down, across, (down + across) / 2], axis=-1).astype(np.uint8)


def with_pillow(data: bytes) -> np.ndarray:
    """Decode a picture: (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def with_torchvision(data: bytes) -> np.ndarray:
    """Decode a picture: (H, W, 3)."""
    tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    mode = torchvision.io.ImageReadMode.RGB
    return torchvision.io.decode_image(tensor, mode).movedim(0, -1).numpy()


DECODERS: dict[str, Callable[[bytes], np.ndarray]] = {
    "Pillow": with_pillow,
    "torchvision.io": with_torchvision,
}
# What files are read with: torchvision for JPEG, where it can, and Pillow for all else.
NECESSARY = {("Pillow", "JPEG"), ("Pillow", "PNG"), ("torchvision.io", "JPEG")}


def try_decoder(name: str, form: str) -> Finding:
    """Encode a picture in memory, decode it, and compare."""
    picture, buffer = sample(), io.BytesIO()
    required = (name, form) in NECESSARY
    what = f"{form} with {name}"
    remedy = "pip install --force-reinstall pillow torchvision" if required else ""
    try:
        Image.fromarray(picture).save(buffer, format=form.upper())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoded = DECODERS[name](buffer.getvalue())
        loss = np.abs(decoded.astype(float) - picture).mean()
    except Exception as error:
        if required:
            return Finding("broken", what, short(error), remedy, required)
        note = "" if name == "Pillow" else "not needed, Pillow reads it; "
        return Finding("missing", what, note + short(error))
    if loss > LOSS:
        return Finding("broken", what, f"off by {loss:.0f} of 255 on average", remedy, required)
    return Finding("ok", what, required=required)


def find_decoders() -> list[Finding]:
    """Try every decoder on every format."""
    return [try_decoder(name, form) for form in FORMATS for name in DECODERS]

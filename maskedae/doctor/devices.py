"""The devices of this machine, each of them tried."""

import os
import shutil
import time

import torch

from maskedae.doctor.environment import Finding, short

FITS = "https://pytorch.org/get-started/locally"
GIB = 2**30


def devices() -> list[torch.device]:
    """Where tensors can live."""
    cuda = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    mps = [torch.device("mps")] if torch.backends.mps.is_available() else []
    return [torch.device("cpu"), *cuda, *mps]


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(device: torch.device) -> str:
    """Name and memory of a device."""
    if device.type == "cpu":
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        cores, threads = usable_cores(), torch.get_num_threads()
        return f"{cores} cores usable, {threads} threads in torch, {memory:.1f} GiB"
    if device.type == "cuda":
        free, total = (number / GIB for number in torch.cuda.mem_get_info(device))
        major, minor = torch.cuda.get_device_capability(device)
        name = torch.cuda.get_device_name(device)
        return f"{name} ({major}.{minor}), {total:.1f} GiB, {free:.1f} GiB of it free"
    return "Apple's GPU"


def try_device(device: torch.device) -> Finding:
    """Multiply matrices in single precision and in bfloat16."""
    try:
        detail = describe(device)
        speed = {dtype: flops(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    except Exception as error:
        remedy = f"install the build of torch that fits: {FITS}"
        return Finding("broken", str(device), short(error), remedy, device.type == "cpu")
    note = ", ".join(f"{str(dtype)[6:]} {speed[dtype] / 1e9:,.0f}" for dtype in speed)
    measured = f"{detail}; measured GFLOP/s: {note}"
    return Finding("ok", str(device), measured, required=device.type == "cpu")


def flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second in a product of square matrices, the best of five."""
    side = 512 if device.type == "cpu" else 4096
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    seconds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        product = matrix @ matrix
        if product[0, 0].item() != side:  # which also waits until the device is done
            raise ArithmeticError(f"{dtype}: ones times ones gave {product[0, 0].item()}")
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def no_gpu() -> Finding:
    """Say why no GPU can be used."""
    try:
        torch.cuda.current_device()  # which says what is wrong, where available() does not
        reason = "none found"
    except (RuntimeError, AssertionError) as error:
        reason = short(error)
    if not shutil.which("nvidia-smi"):
        return Finding("missing", "GPU", f"{reason} (training works without one, slowly)")
    remedy = f"match driver and torch: {FITS}"
    return Finding("broken", "GPU", f"nvidia-smi is there, but {reason}", remedy)


def find_devices() -> list[Finding]:
    """Try every device."""
    found = [try_device(device) for device in devices()]
    return found if len(found) > 1 else [*found, no_gpu()]

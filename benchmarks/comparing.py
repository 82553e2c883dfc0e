"""What the benchmarks of training steps share: steps of training, taken in turn and timed."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import median

import torch
from torch import Tensor, nn

from maskedae.bench import seconds
from maskedae.optim import adamw

WARM_UP = 3

Step = Callable[[], object]


def training_step(
    model: nn.Module, loss: Callable[[], Tensor], device: torch.device, bf16: bool
) -> Step:
    """One step of training: forward, backward, AdamW with the groups that we train with."""
    optimizer = adamw(model, weight_decay=0.05, betas=(0.9, 0.95))
    for group in optimizer.param_groups:
        group["lr"] = 1e-4

    def take() -> None:
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            value = loss()
        torch.autograd.backward(value)
        optimizer.step()
        optimizer.zero_grad()

    return take


def in_turn(
    sides: Sequence[Step], device: torch.device, rounds: int, steps: int = 1, warm_up: int = WARM_UP
) -> list[list[float]]:
    """Seconds that a step of every side takes, for every round; each second one runs backwards."""
    for side in sides:
        for _ in range(warm_up):
            side()

    def stretch(side: Step) -> float:
        return seconds(device, lambda: [side() for _ in range(steps)]) / steps

    table = []
    for number in range(rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        times = [stretch(side) for side in order]
        table.append(times if number % 2 == 0 else times[::-1])
    return table


def compare(
    sides: Sequence[Step],
    device: torch.device,
    precision: str,
    rounds: int,
    steps: int,
    warm_up: int = WARM_UP,
) -> None:
    """Let both sides take steps in turn; print the median of the ratios."""
    pairs = in_turn(sides, device, rounds, steps, warm_up)
    new, old = (median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(old / new for new, old in pairs)
    print(
        f"{precision}: ours {new * 1e3:.1f} ms, transformers {old * 1e3:.1f} ms a step, median "
        f"ratio {median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, {rounds} rounds)",
        flush=True,
    )

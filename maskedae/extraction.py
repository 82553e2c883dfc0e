"""Features of a frozen encoder, computed part by part: a kill costs one part at most."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from accelerate import PartialState
from torch import Tensor, nn

from maskedae.data import Data, Source
from maskedae.encoder import Encoder
from maskedae.loading import Batch, read_in_order
from maskedae.parts import Part, Parts
from maskedae.progress import Meter

Pooling = Literal["mean", "class", "patches"]
Encode = Callable[[Tensor], dict[str, Tensor]]  # (B, C, *size) -> named features, each (B, ...)


def choose_layers(encoder: Encoder, layers: list[int] | None) -> list[int]:
    """Numbers of layers, counted from the first and in order; without a choice, the usual ones.

    Raises ValueError for layers that there are not.
    """
    return sorted(set(encoder.chosen(layers or encoder.usual_layers)))


def feature_names(encoder: Encoder, layers: list[int], pools: list[Pooling]) -> list[str]:
    """What the features of layers are called: `block5_mean` and the like, the last layer first."""
    return [f"{encoder.layer}{layer}_{how}" for layer in reversed(layers) for how in pools]


def encode_layers(encoder: Encoder, layers: list[int], pools: list[Pooling]) -> Encode:
    """How an encoder gives `block5_mean` and the like: patches (B, N, D), all others (B, D).

    Every layer goes through the norm of the last one.
    """

    def encode(signal: Tensor) -> dict[str, Tensor]:
        found = encoder.forward_intermediates(
            signal,
            layers,
            return_prefix_tokens=True,
            norm=True,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        pairs = cast(list[tuple[Tensor, Tensor]], found)
        columns = dict[str, Tensor]()
        for layer, (patches, prefix) in zip(layers, pairs, strict=True):
            whole = torch.cat([prefix, patches], dim=1)
            for how in pools:
                pooled = patches if how == "patches" else encoder.pool(whole, how)
                columns[f"{encoder.layer}{layer}_{how}"] = pooled
        return columns

    return encode


def digest(module: nn.Module) -> str:
    """A digest of the weights of a module, by name."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def left(parts: Parts, split: str, count: int, state: PartialState) -> list[int]:
    """The parts of a split that this process still has to compute."""
    mine = parts.numbers(count)[state.process_index :: state.num_processes]
    return [number for number in mine if not parts.path(split, number).exists()]


@torch.inference_mode()
def extract(
    parts: Parts, encode: Encode, data: Data, sources: Mapping[str, Source], workers: int = 0
) -> None:
    """Compute the parts that are not there yet, shared out among the processes."""
    state = PartialState()
    todo = {split: left(parts, split, len(source), state) for split, source in sources.items()}
    indices = {
        split: [i for number in todo[split] for i in parts.samples(number, len(source))]
        for split, source in sources.items()
    }
    shared = f", process 1 of {state.num_processes}" if state.num_processes > 1 else ""
    total = sum(map(len, indices.values()))
    with Meter(f"encoding{shared}", total, quiet=not state.is_main_process) as meter:
        for split, source in sources.items():
            batches = read_in_order(source, indices[split], parts.batch_size, workers)
            for number, batch in zip(todo[split], batches, strict=True):
                parts.write(split, number, encoded(batch, encode, data, state.device))
                meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    state.wait_for_everyone()


def encoded(batch: Batch, encode: Encode, data: Data, device: torch.device) -> Part:
    """Turn the samples of a batch into a part."""
    columns = dict[str, Tensor]()
    if batch.samples is not None:
        found = encode(data.signal(batch.samples.to(device)))
        columns = {name: batch.average(tensor.float().cpu()) for name, tensor in found.items()}
    indices = torch.tensor([index for _, index in batch.draws], dtype=torch.int64)
    return Part(indices, columns, batch.skipped)

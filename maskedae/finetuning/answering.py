"""Let a classifier answer a whole source, every sample once, by however many processes."""

from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from maskedae.classifier import Classifier
from maskedae.data import Data, Source
from maskedae.loading import Skipped, batch_for, read_in_order
from maskedae.progress import Meter
from maskedae.ragged import suit


class Answered(NamedTuple):
    """Logits of the samples that could be read, in their order."""

    samples: Tensor  # (n,) their numbers
    logits: Tensor  # (n, outputs), on the CPU
    skipped: list[Skipped]


@torch.no_grad()
def answer(
    model: Classifier,
    data: Data,
    source: Source,
    accelerator: Accelerator,
    workers: int = 0,
    meter: Meter | None = None,
) -> Answered:
    """Answer all samples of a source; every process does its share, and all get the whole.

    Samples are dealt by number and none is padded, so each counts once.
    """
    training = model.training
    suit(model, data)
    model.eval()
    mine = list(range(accelerator.process_index, len(source), accelerator.num_processes))
    index, logits, skipped = list[int](), list[Tensor](), list[Skipped]()
    for batch in read_in_order(source, mine, batch_for(source), workers):
        skipped += batch.skipped
        if batch.samples is not None:
            signal = data.signal(batch.samples.to(accelerator.device))
            logits.append(batch.average(model(signal).float().cpu()))
            index += [number for _, number in batch.draws]
        if meter:
            meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    model.train(training)
    found = torch.cat(logits) if logits else torch.empty(0, model.answers.outputs)
    parts = gather_object([(index, found, skipped)])
    order = torch.tensor([number for part in parts for number in part[0]], dtype=torch.int64)
    ranks = order.argsort()
    whole = torch.cat([part[1] for part in parts])
    return Answered(order[ranks], whole[ranks], [one for part in parts for one in part[2]])

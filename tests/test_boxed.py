"""Pictures with boxes that travel as few tensors."""

import pickle

import torch

from maskedae.boxed import Boxed, Truth
from maskedae.pairs import stack_views


def some(sides: list[tuple[int, int]], counts: list[int], masks: bool) -> Boxed:
    pictures = [torch.randint(256, (3, *side), dtype=torch.uint8) for side in sides]
    truths = []
    for (h, w), n in zip(sides, counts, strict=True):
        mask = torch.rand(n, h, w) > 0.5 if masks else None
        truths.append(Truth(torch.rand(n, 4), torch.randint(5, (n,)), mask))
    return Boxed.pack(pictures, truths, [(9, 9)] * len(sides))


def test_what_is_packed_and_stacked_comes_out_as_it_was() -> None:
    for masks in (False, True):
        parts = [some([(4, 6)], [3], masks), some([(5, 2)], [0], masks), some([(1, 1)], [1], masks)]
        whole = stack_views(parts)
        assert len(whole) == 3 and whole.sizes.tolist() == [[9, 9]] * 3
        whole = pickle.loads(pickle.dumps(whole)).to("cpu")
        for part, picture, truth in zip(parts, whole.pictures, whole.truths, strict=True):
            assert torch.equal(part.pictures[0], picture)
            (before,) = part.truths
            assert torch.equal(before.boxes, truth.boxes)
            assert torch.equal(before.labels, truth.labels)
            assert (before.masks is None) == (truth.masks is None)
            assert before.masks is None or torch.equal(before.masks, truth.masks)

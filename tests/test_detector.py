"""Detectors: pictures of any sizes in, boxes out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from maskedae.boxed import Found, Truth
from maskedae.detection.detector import Detector
from maskedae.settings import Heads
from maskedae.transformer import set_checkpointing, set_drop_path
from maskedae.weights import load_with_report
from maskedae.zoo import create_model

SMALL = {"channels": 16, "box_width": 24, "box_convs": 1, "mask_convs": 1, "min_score": 0.0}
SMALL |= {"proposals": 100, "samples": 64}
PLAIN = {"size": (96, 128), "patch": (8, 8), "width": 48, "depth": 4, "heads": 4}
KINDS = {
    "plain": ("mae_vit_tiny_patch16", PLAIN),
    "stages": ("hiera_tiny_224", {"size": (96, 128)}),
}


def make(kind: str, **heads: Any) -> Detector:
    torch.manual_seed(0)
    name, config = KINDS[kind]
    encoder = create_model(name, **config).encoder
    detector = Detector(
        encoder, ("cat", "dog"), Heads(**{**SMALL, "window": 5, "wide": [1, 3], **heads})
    )
    with torch.no_grad():
        for module in detector.modules():  # fresh positions and norms tell no places apart
            if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
                module.bias.normal_(std=0.2)
        for parameter in detector.maps.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return detector.eval()


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(96, 128), (33, 70), (64, 96), (61, 93), (5, 128)]
    return [torch.randn(3, *size, generator=generator) for size in sizes]


def truths(masks: bool = False) -> list[Truth]:
    boxes = torch.tensor([[2.0, 3.0, 40.0, 30.0], [10.0, 1.0, 60.0, 20.0]])
    full = Truth(boxes, torch.tensor([0, 1]))
    empty = Truth(boxes[:0], full.labels[:0])
    found = [full, full, empty, full, empty]
    if not masks:
        return found
    sides = [picture.shape[1:] for picture in pictures()]
    return [
        t._replace(masks=torch.ones(len(t.boxes), *s) > 0)
        for t, s in zip(found, sides, strict=True)
    ]


def same(a: Found, b: Found) -> None:
    assert torch.equal(a.labels, b.labels) and len(a.labels)
    torch.testing.assert_close(a.boxes, b.boxes, atol=1e-4, rtol=0)
    torch.testing.assert_close(a.scores, b.scores, atol=1e-5, rtol=0)
    assert (a.masks is None) == (b.masks is None)
    if a.masks is not None:
        torch.testing.assert_close(a.masks, b.masks, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masks", [False, True])
def test_a_picture_alone_has_the_boxes_that_it_has_in_a_batch(kind: str, masks: bool) -> None:
    detector, some = make(kind, masks=masks, most=20), pictures()
    with torch.no_grad():
        together = detector(some)
        for picture, found in zip(some, together, strict=True):
            same(detector([picture])[0], found)
            height, width = picture.shape[1:]
            assert found.boxes.min() >= 0
            assert found.boxes[:, 2].max() <= width and found.boxes[:, 3].max() <= height


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_seen_first_does_not_matter(kind: str) -> None:
    """torchvision would guess the strides of all maps from the first picture."""
    some = pictures()
    with torch.no_grad():
        fresh = [make(kind, masks=True, most=20)([picture])[0] for picture in some]
        used = make(kind, masks=True, most=20)
        used([some[4]])
        for picture, found in zip(some, fresh, strict=True):
            same(used([picture])[0], found)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_and_masks_are_told_in_the_size_that_is_asked_for(kind: str) -> None:
    detector, picture = make(kind, masks=True, most=5), pictures()[1]
    with torch.no_grad():
        (small,), (large,) = detector([picture]), detector([picture], sizes=[(66, 210)])
    torch.testing.assert_close(small.boxes * torch.tensor([3.0, 2.0, 3.0, 2.0]), large.boxes)
    sides = torch.tensor([3.0, 2.0, 3.0, 2.0])
    torch.testing.assert_close(small.frames * sides, large.frames)
    assert [mask.shape for mask in small.pasted((33, 70))] == [(33, 70)] * 5
    assert [mask.shape for mask in large.pasted((66, 210))] == [(66, 210)] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_means_over_pictures(kind: str) -> None:
    detector = make(kind, masks=True).train().requires_grad_(True)
    set_drop_path(detector.encoder, 0.4)
    noise, seeds = torch.rand(5, detector.encoder.noise_size), [3, 1, 4, 1, 5]

    def learn(chosen: list[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        detector.zero_grad()
        some, told = pictures(), truths(masks=True)
        losses = detector(
            [some[i] for i in chosen],
            [told[i] for i in chosen],
            noise[chosen],
            [seeds[i] for i in chosen],
        )
        sum(losses.values()).backward()
        lacking = [name for name, p in detector.named_parameters() if p.grad is None]
        assert not lacking
        grads = {n: p.grad.clone() for n, p in detector.named_parameters() if p.grad is not None}
        return {name: loss.detach() for name, loss in losses.items()}, grads

    whole = learn([0, 1, 2, 3, 4])
    each = [learn([i]) for i in range(5)]
    assert set(whole[0]) == {"objectness", "proposal", "class", "box", "mask"}
    for part in (0, 1):
        for name, value in whole[part].items():
            mean = torch.stack([one[part][name] for one in each]).mean(0)
            torch.testing.assert_close(value, mean, atol=1e-5, rtol=1e-4, msg=name)
    set_checkpointing(detector.encoder, True)
    torch.testing.assert_close(learn([0, 1, 2, 3, 4]), whole)


def test_a_canvas_and_pictures_that_do_not_fit_are_refused_in_words() -> None:
    detector = make("plain")
    with pytest.raises(ValueError, match="built for"):
        detector([torch.zeros(3, 97, 20)])
    encoder = create_model("mae_vit_tiny_patch16", **{**PLAIN, "size": (104, 128)}).encoder
    with pytest.raises(ValueError, match=r"\[112, 128\] would fit"):
        Detector(encoder, ("cat",), Heads(**SMALL))
    film = create_model("mae_st_vit_large_patch16", width=48, heads=4, depth=2).encoder
    with pytest.raises(ValueError, match="found on pictures"):
        Detector(film, ("cat",), Heads(**SMALL))
    with pytest.raises(ValueError, match="0 to 3 fit"):
        make("plain", wide=[4])
    with pytest.raises(ValueError, match="no classes"):
        Detector(make("plain").encoder, (), Heads(**SMALL))


def test_layers_of_the_encoder_learn_slower_the_deeper_they_lie() -> None:
    from maskedae.optim import adamw

    detector = make("plain")
    for parameter in detector.parameters():
        parameter.requires_grad_(True)
    names = {p: name for name, p in detector.named_parameters()}
    groups = adamw(detector, 0.1, (0.9, 0.999), layer_decay=0.5).param_groups
    scales = {names[p]: group["lr_scale"] for group in groups for p in group["params"]}
    decays = {names[p]: group["weight_decay"] for group in groups for p in group["params"]}
    assert scales["encoder.embed.weight"] == scales["encoder.positions.table"] == 0.5**5
    assert scales["encoder.blocks.0.mlp.fc1.weight"] == scales["maps.relative.0.down"] == 0.5**4
    assert scales["maps.relative.3.across"] == 0.5
    assert scales["pyramid.even.0.0.weight"] == scales["roi.box_predictor.bbox_pred.bias"] == 1
    assert decays["encoder.positions.table"] == 0 and decays["encoder.blocks.0.norm1.weight"] == 0
    assert decays["encoder.blocks.0.mlp.fc1.weight"] == 0.1


def test_a_stored_detector_finds_the_same_also_on_another_canvas(tmp_path: Path) -> None:
    detector, picture = make("plain", masks=True, most=5), pictures()[1]
    detector.save_pretrained(tmp_path / "own")
    again = Detector.from_pretrained(tmp_path / "own")
    assert again.classes == ("cat", "dog") and again.heads == detector.heads
    with torch.no_grad():
        same(detector([picture])[0], again([picture])[0])
    larger = load_with_report(tmp_path / "own", size=(192, 128))
    assert "from 23 to 47 distances, linear" in str(larger.report)
    assert isinstance(larger.model, Detector) and larger.model.encoder.size == (192, 128)
    assert larger.report.complete
    with pytest.raises(ValueError, match="of no use without the rest"):
        load_with_report(tmp_path / "own", encoder_only=True)

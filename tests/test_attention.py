import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from maskedae import create_model
from maskedae.attention import KERNELS, eager, record_maps, set_kernel


def usable(name):
    """Whether a kernel runs on this machine: some need a GPU, one a package that is an extra."""
    x = torch.randn(1, 2, 4, 16)
    try:
        KERNELS[name](x, x, x)
    except (ImportError, NotImplementedError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", [(2, 3, 17, 16), (1, 2, 50, 64)])
def test_kernels_agree(name, shape):
    if not usable(name):
        pytest.skip(f"{name} does not run on this machine")
    first = [torch.randn(shape, requires_grad=True) for _ in "qkv"]
    second = [x.detach().clone().requires_grad_() for x in first]
    expected = F.softmax(first[0] @ first[1].mT * shape[-1] ** -0.5, dim=-1) @ first[2]
    found = KERNELS[name](*second)
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(shape)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for a, b in zip(first, second, strict=True):
        assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-5)


def test_kernels_that_need_nothing_special_run_here():
    assert all(usable(name) for name in ("sdpa", "sdpa-math", "sdpa-flash", "eager"))


def test_the_choice_reaches_every_layer(tiny):
    signal, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    model = create_model("mae_vit_base_patch16", **tiny)
    expected = model(signal, noise=noise).loss
    calls = []
    KERNELS["counting"] = lambda *qkv: calls.append(1) or eager(*qkv)[0]
    try:
        set_kernel(model, "counting")
    finally:
        del KERNELS["counting"]
    assert_close(model(signal, noise=noise).loss, expected, rtol=1e-5, atol=0)
    assert len(calls) == 3  # two blocks of the encoder, one of the decoder


def test_maps_are_recorded_and_the_kernel_comes_back(tiny):
    model = create_model("mae_vit_base_patch16", **tiny)
    before = model.encoder.blocks[0].attn.kernel
    with record_maps(model.encoder) as maps:
        model.encoder(torch.randn(2, 3, 32, 32))
    assert [m.shape for m in maps] == [(2, 4, 17, 17)] * 2
    assert_close(maps[0].sum(-1), torch.ones(2, 4, 17))
    assert model.encoder.blocks[0].attn.kernel is before


def test_unknown_kernels_are_refused(tiny):
    with pytest.raises(ValueError, match="sdpa-flash"):
        create_model("mae_vit_base_patch16", **tiny, attention="flash")


def test_heads_must_divide_the_width(tiny):
    with pytest.raises(ValueError, match="width of 32 does not divide into 5 heads"):
        create_model("mae_vit_base_patch16", **{**tiny, "heads": 5})


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_agree_on_a_bias(name):
    if not usable(name):
        pytest.skip(f"{name} does not run on this machine")
    x = [torch.randn(2, 3, 17, 16) for _ in "qkv"]
    bias = torch.randn(2, 1, 1, 17)
    found = KERNELS[name](*x, bias)
    expected = F.softmax(x[0] @ x[1].mT * 16**-0.5 + bias, dim=-1) @ x[2]
    assert_close(found, expected, rtol=1e-5, atol=1e-5)

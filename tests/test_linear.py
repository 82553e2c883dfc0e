"""Linear maps by oneDNN: the numbers are those of PyTorch, whoever asks for them."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import maskedae.linear
from maskedae.linear import ONEDNN, Linear, linear, suits_onednn
from maskedae.zoo import create_model

pytestmark = pytest.mark.skipif(
    ONEDNN is None or not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"
)


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(maskedae.linear, "LARGE", 1)


def made(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def results(call, x, weight, bias, seen):
    """What comes out, and all gradients."""
    inputs = [None if t is None else t.clone().requires_grad_() for t in (x, weight, bias)]
    out = call(*inputs)
    wanted = [t for t in inputs if t is not None]
    return out, *torch.autograd.grad((out * seen).sum(), wanted)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("out", [4, 6])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 7, 5), (0, 5)])
def test_values_and_gradients_are_those_of_pytorch(shape, out, biased):
    x, weight, bias = made(*shape), made(out, 5), made(out) if biased else None
    assert suits_onednn(x, weight) == (len(x) > 0)
    seen = made(*shape[:-1], out)
    assert_close(results(linear, x, weight, bias, seen), results(F.linear, x, weight, bias, seen))


def test_tensors_may_lie_in_any_order():
    x, weight = made(5, 3, 7).permute(1, 2, 0), made(5, 4).T
    seen = made(4).expand(3, 7, 4)
    assert_close(results(linear, x, weight, None, seen), results(F.linear, x, weight, None, seen))


def test_only_what_learns_gets_a_gradient():
    x, layer = made(3, 5), Linear(5, 4).requires_grad_(False)
    assert not layer(x).requires_grad
    layer.bias.requires_grad_()
    layer(x).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad.eq(3).all()


def test_gradients_of_gradients():
    x, weight = made(3, 5).requires_grad_(), made(4, 5).requires_grad_()

    def curved(call):
        (first,) = torch.autograd.grad(call(x, weight).sin().sum(), x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), (x, weight))

    assert_close(curved(linear), curved(F.linear))


def test_function_transforms():
    x, weight = made(6, 3, 5), made(4, 5)

    def each(call):
        loss = lambda weight, x: call(x, weight).pow(2).sum()  # noqa: E731
        return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, x)

    assert_close(each(linear), each(F.linear))


def test_operations_are_counted():
    x, layer = made(2, 3, 5), Linear(5, 4)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * (6 * 5 * 4)  # forward, and the weight's gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_left_to_pytorch(dtype):
    x, weight = made(3, 5).to(dtype), made(4, 5).to(dtype)
    assert not suits_onednn(x, weight)
    assert linear(x, weight).equal(F.linear(x, weight))


def test_mixed_precision_is_left_to_pytorch():
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(made(3, 5), made(4, 5)).dtype == torch.bfloat16


def test_small_products_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(maskedae.linear, "LARGE", 61)
    assert not suits_onednn(made(3, 5), made(4, 5)) and suits_onednn(made(4, 5), made(4, 5))


def test_other_kinds_of_tensors_are_left_to_pytorch():
    class Odd(torch.Tensor):
        pass

    x, weight = made(3, 5), made(4, 5)
    assert not suits_onednn(x.as_subclass(Odd), weight)
    assert not suits_onednn(x, weight.as_subclass(Odd))
    assert suits_onednn(x, torch.nn.Parameter(weight))


def test_one_vector_is_left_to_pytorch():
    assert_close(linear(made(5), made(4, 5)), F.linear(made(5), made(4, 5)))


def test_traced_and_compiled_ones_are_left_to_pytorch():
    x, layer = made(3, 5), Linear(5, 4)
    traced = torch.jit.trace(layer, x)
    assert "aten::linear" in str(traced.inlined_graph)
    exported = torch.export.export(layer, (x,))
    assert "onednn" not in str(exported.graph) and "mkldnn" not in str(exported.graph)
    assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


@pytest.mark.parametrize("name", ["mae_vit_tiny_patch16", "hiera_tiny_224"])
def test_a_model_learns_the_same(name, monkeypatch):
    size = {"size": (64, 64)} if "hiera" in name else {"size": (32, 32), "patch": (8, 8)}
    torch.manual_seed(0)
    model = create_model(name, **size)
    signal, mask = made(2, 3, *size["size"]), model.draw_mask(2)

    def learned():
        model.zero_grad()
        out = model(signal, mask)
        out.loss.backward()
        return out.loss, out.prediction, [p.grad for p in model.parameters() if p.grad is not None]

    ours = learned()
    monkeypatch.setattr(maskedae.linear, "LARGE", 2**60)
    assert_close(ours, learned(), rtol=1e-4, atol=1e-5)

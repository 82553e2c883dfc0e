"""Linear maps by oneDNN: the numbers are those of PyTorch, whoever asks for them."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import maskedae.linear
from maskedae.linear import Linear, linear, suits_onednn
from maskedae.transformer import Mlp
from maskedae.zoo import create_model

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN"
)


def made(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(maskedae.linear, "LARGE", 1)
    monkeypatch.setattr(maskedae.linear, "_shapes", set())


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
    assert suits_onednn(x, weight, bias) == (len(x) > 0)
    seen = made(*shape[:-1], out)
    assert_close(results(linear, x, weight, bias, seen), results(F.linear, x, weight, bias, seen))


@pytest.fixture
def calls(monkeypatch):
    """What oneDNN is asked for."""
    seen, ask = [], maskedae.linear._onednn
    monkeypatch.setattr(maskedae.linear, "_onednn", lambda *of: seen.append(of) or ask(*of))
    return seen


@pytest.mark.parametrize(
    ("learns", "many"), [("", 1), ("x", 2), ("bias", 1), ("weight", 2), ("x weight bias", 3)]
)
def test_only_what_learns_costs(learns, many, calls):
    parts = {"x": made(3, 5), "weight": made(4, 5), "bias": made(4)}
    for name in learns.split():
        parts[name].requires_grad_()
    out = linear(*parts.values())
    if learns:
        out.sum().backward()
    assert len(calls) == many
    assert [name for name, part in parts.items() if part.grad is not None] == learns.split()


def test_only_what_a_gradient_needs_must_stay_as_it_is():
    x, weight, bias = made(3, 5), made(4, 5), made(4).requires_grad_()
    out = linear(x, weight, bias)
    x.add_(1), weight.add_(1)
    out.sum().backward()
    out = linear(x, weight.requires_grad_(), bias)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_outputs_may_be_changed_in_place():
    layer, x = Linear(5, 4), made(2, 3, 5)
    with torch.no_grad():
        expected = F.linear(x, layer.weight, layer.bias).relu()
    out = F.relu(layer(x), inplace=True)
    out.sum().backward()
    assert_close(out.detach(), expected)


def test_tensors_may_lie_in_any_order():
    x, weight = made(5, 3, 7).permute(1, 2, 0), made(5, 4).T
    seen = made(4).expand(3, 7, 4)
    assert_close(results(linear, x, weight, None, seen), results(F.linear, x, weight, None, seen))


@pytest.mark.parametrize("bias", [made(8)[::2], made(1).expand(4), made(1), made(3, 4)])
def test_biases_that_lie_or_spread_otherwise_are_left_to_pytorch(bias):
    x, weight = made(3, 5), made(4, 5)
    assert not suits_onednn(x, weight, bias)
    assert linear(x, weight, bias).equal(F.linear(x, weight, bias))


def test_what_does_not_fit_is_told_by_pytorch():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        linear(made(3, 6), made(4, 5))


def test_only_so_many_shapes_are_kept(calls, monkeypatch):
    monkeypatch.setattr(maskedae.linear, "MOST", 2)
    for rows in (3, 4, 6, 3, 6):
        linear(made(rows, 5), made(4, 5))
    assert [len(x) for x, _, _ in calls] == [3, 4, 3]


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


def test_forward_derivatives():
    x, weight, along = made(3, 5), made(4, 5), made(1, 3, 5)[0]

    def derivative(call):
        return torch.func.jvp(lambda x: call(x, weight), (x,), (along,))

    assert_close(derivative(linear), derivative(F.linear))


def test_operations_are_counted(calls):
    x, layer = made(2, 3, 5), Linear(5, 4)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * (6 * 5 * 4)  # forward, and the weight's gradient
    assert not calls


def test_mixed_types_and_other_devices_do_not_suit():
    x, weight = made(3, 5), made(4, 5)
    assert not suits_onednn(x, weight.double()) and not suits_onednn(
        x.to("meta"), weight.to("meta")
    )
    assert not suits_onednn(x, weight.to_sparse())
    with torch.backends.mkldnn.flags(enabled=False):
        assert not suits_onednn(x, weight)
    assert suits_onednn(x, weight)


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
    assert not suits_onednn(made(5), made(4, 5))


def test_traced_and_compiled_ones_are_left_to_pytorch():
    x, layer = made(3, 5), Linear(5, 4)
    traced = torch.jit.trace(layer, x)
    assert "aten::linear" in str(traced.inlined_graph)
    exported = torch.export.export(layer, (x,))
    assert "onednn" not in str(exported.graph) and "mkldnn" not in str(exported.graph)
    assert "linear" in str(torch.fx.symbolic_trace(Mlp(5, 4)).graph)
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

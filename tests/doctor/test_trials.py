import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskedae.doctor import trials

CPU = torch.device("cpu")


def test_kernels():
    found = {item.what: item for item in trials.find_kernels(CPU)}
    assert found["sdpa"] == ("ok", "sdpa", "right (float32, bfloat16)", "", True)
    assert found["eager"].state == "ok" and found["sdpa-cudnn"].state == "missing"


def judge(monkeypatch, kernel, name="sdpa-flash"):
    monkeypatch.setitem(trials.KERNELS, name, kernel)
    return trials.judge_kernel(name, CPU)


def test_a_kernel_with_other_numbers_is_broken(monkeypatch):
    found = judge(monkeypatch, lambda q, k, v, _: F.scaled_dot_product_attention(q, k, v) * 1.1)
    assert found.state == "broken" and "wrong: off by 1.0e-01" in found.detail
    assert judge(monkeypatch, lambda q, k, v, _: v * torch.nan + q + k).state == "broken"


def test_a_kernel_with_other_gradients_is_broken(monkeypatch):
    def attend(q, k, v, _):
        return F.scaled_dot_product_attention(q, k, v) + (v - v.detach())

    assert judge(monkeypatch, attend).state == "broken"


def test_a_kernel_that_refuses_is_missing_or_broken(monkeypatch):
    def refuse(q, k, v, _):
        if q.dtype == torch.float32:
            warnings.warn("needs bfloat16 (Triggered internally at x.cpp:1)", stacklevel=1)
            raise RuntimeError("No kernel")
        return F.scaled_dot_product_attention(q, k, v)

    found = judge(monkeypatch, refuse)
    assert found.state == "ok"
    assert found.detail == "refuses: needs bfloat16 (float32); right (bfloat16)"
    lacking = judge(monkeypatch, lambda q, k, v, _: exec("import no_such_module"))
    assert lacking.state == "missing" and "ModuleNotFoundError" in lacking.detail
    assert judge(monkeypatch, lambda q, k, v, _: 1 / 0, name="sdpa").state == "broken"


def test_what_is_not_installed_can_be_added(monkeypatch):
    found = judge(monkeypatch, lambda q, k, v, _: exec("import no_such_module"), name="xformers")
    assert (found.state, found.remedy) == ("missing", "pip install 'maskedae[xformers]'")


def test_decoders():
    found = {item.what: item for item in trials.find_decoders()}
    assert len(found) == 12
    assert all(found[f"{form} with Pillow"].state == "ok" for form in trials.FORMATS)
    assert found["JPEG with torchvision.io"] == ("ok", "JPEG with torchvision.io", "", "", True)
    assert found["TIFF with torchvision.io"].state == "missing"


@pytest.mark.parametrize(
    ("decode", "detail"),
    [
        (lambda data: np.zeros((48, 64, 3)), "off by"),
        (lambda data: np.zeros((1, 2, 3)), "ValueError"),
        (lambda data: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_decoder_that_is_broken(monkeypatch, decode, detail):
    monkeypatch.setitem(trials.DECODERS, "Pillow", decode)
    found = trials.try_decoder("Pillow", "PNG")
    assert found.state == "broken" and detail in found.detail and found.remedy

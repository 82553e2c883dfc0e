import torch

from maskedae.doctor import devices

CPU = torch.device("cpu")


def test_the_processor_works():
    found = devices.try_device(CPU)
    assert found.state == "ok" and found.required
    assert "cores usable" in found.detail and "bfloat16" in found.detail
    assert devices.devices()[0] == CPU and devices.usable_cores() >= 1


def test_a_device_that_miscalculates_is_broken(monkeypatch):
    monkeypatch.setattr(torch, "ones", torch.zeros)
    found = devices.try_device(CPU)
    assert found.state == "broken" and "ones times ones gave 0.0" in found.detail


def test_a_gpu_that_cannot_be_used_is_told_from_one_that_is_not_there(monkeypatch):
    def fail():
        raise RuntimeError("driver too old. Update it")

    monkeypatch.setattr(torch.cuda, "current_device", fail)
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert devices.no_gpu().state == "missing"
    monkeypatch.setattr(devices.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    found = devices.no_gpu()
    assert found.state == "broken" and "RuntimeError: driver too old" in found.detail

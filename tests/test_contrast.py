"""Contrast: values by hand, and the same over one process as over several."""

import math
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from maskedae.contrast import gathered, info_nce, mean_present


def test_values_by_hand():
    x, y = torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([[1.0, 0], [0, 0.5]])
    # Cosines are 1 on the diagonal and 0 beside it.
    assert info_nce(x, y, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert info_nce(x, y, 0.1).item() == pytest.approx(math.log(1 + math.exp(-10)), abs=1e-6)
    assert info_nce(x, y.flip(0), 0.1).item() == pytest.approx(math.log(1 + math.exp(10)))


def test_the_way_there_is_not_the_way_back():
    x, y = torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([[1.0, 0], [0, 1]])
    there = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert info_nce(x, y, 1.0, symmetric=False).item() == pytest.approx(there)
    assert info_nce(y, x, 1.0, symmetric=False).item() == pytest.approx(math.log(2))
    assert info_nce(x, y, 1.0).item() == pytest.approx((there + math.log(2)) / 2)


def test_who_is_absent_neither_asks_nor_answers():
    x, y = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    there = torch.tensor([True, False, True, True, False])
    loss = info_nce(x, y, 0.1, there)
    assert_close(loss, info_nce(x[there], y[there], 0.1))
    loss.backward()
    for side in (x, y):
        assert (side.grad[~there] == 0).all() and (side.grad[there] != 0).any(dim=1).all()


@pytest.mark.parametrize("count", [0, 1])
def test_one_alone_has_nothing_to_tell_apart(count):
    x, y = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    loss = info_nce(x, y, 0.1, torch.arange(3) < count)
    loss.backward()
    assert loss == 0 and (x.grad == 0).all()


def test_half_precision_makes_no_difference():
    x, y = torch.randn(8, 16), torch.randn(8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert info_nce(x, y, 0.05) == info_nce(x.float(), y.float(), 0.05)


def test_means_of_samples():
    values = torch.tensor([1.0, torch.nan, 3.0])
    assert mean_present(values, torch.tensor([True, False, True])) == 2
    assert mean_present(values, torch.zeros(3, dtype=torch.bool)) == 0
    assert mean_present(values[::2]) == 2


def sample(rows):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(rows, 6, generator=generator), torch.randn(rows, 6, generator=generator)
    there = torch.rand(rows, generator=generator) < 0.6
    there[0] = True
    return x, y, there


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x, y, there):
        a, b = self.one(x), self.other(y)
        there = gathered(there)
        loss = info_nce(a, b, 0.1, there) + 0.1 * info_nce(b, a, 0.5, symmetric=False)
        return loss + mean_present(a.square().mean(1), there) + mean_present(b.mean(1))


def work(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, world_size=2, rank=rank)
    model = DistributedDataParallel(Twin())
    loss = model(*(part.chunk(2)[rank] for part in sample(8)))
    loss.backward()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    with torch.no_grad():  # where nothing learns, processes need not go along
        alone = gathered(torch.ones(rank + 1)).shape == (rank + 1,)
    grads = [p.grad.tolist() for p in model.parameters()]
    compiled = torch.compile(Twin(), backend="eager", fullgraph=True)
    assert_close(compiled(*(part.chunk(2)[rank] for part in sample(8))), loss)
    torch.save(((mean / 2).item(), grads, alone), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_learn_what_one_does(tmp_path):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    mp.spawn(work, (port, tmp_path), nprocs=2)
    model = Twin()
    loss = model(*sample(8))
    loss.backward()
    for rank in range(2):
        mean, grads, alone = torch.load(tmp_path / f"{rank}.pt")
        assert mean == pytest.approx(loss.item(), abs=1e-6) and alone
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            assert_close(torch.tensor(grad), parameter.grad, atol=1e-6, rtol=1e-5)


def test_it_compiles_as_one_graph():
    x, y, there = sample(8)
    compiled = torch.compile(info_nce, backend="eager", fullgraph=True)
    assert_close(compiled(x, y, 0.1, there), info_nce(x, y, 0.1, there))

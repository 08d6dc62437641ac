import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from r2mae.training.sharded import complete_on_host


@pytest.fixture
def mesh(tmp_path):
    """A mesh of one rank."""
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_of_a_job_holds_the_complete_tensors(mesh, monkeypatch, rank):
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    whole, step = torch.arange(6.0).reshape(3, 2), torch.tensor(4.0)
    tensors = {"weight": distribute_tensor(whole, mesh, [Shard(0)]), "step": step}
    host = complete_on_host(tensors)
    assert host["step"] is step
    assert ("weight" in host) == (rank == 0)
    if rank == 0:
        assert torch.equal(host["weight"], whole)

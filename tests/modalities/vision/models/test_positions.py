import pytest
import torch
from transformers import ViTMAEConfig
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

from r2mae.modalities.vision.models.positions import sincos_positions


@pytest.mark.parametrize(
    ("side", "dim"), [(2, 4), (4, 32), (7, 48), (14, 192), (16, 768)]
)
def test_layout_of_vit_mae(side, dim):
    embeddings = ViTMAEEmbeddings(
        ViTMAEConfig(image_size=4 * side, patch_size=4, hidden_size=dim)
    )
    embeddings.initialize_weights()  # a whole ViTMAEModel of transformers 5.23 leaves its table at zero
    theirs = embeddings.position_embeddings
    ours = sincos_positions((side, side), dim, num_prefix=1)
    assert ours.dtype == torch.float32
    assert ours.shape == (1, side * side + 1, dim)
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", [(1, 6), (3, 5), (14, 14), (64, 64)])
def test_rows_are_distinct_and_of_one_length(grid):
    table = sincos_positions(grid, 64)[0].double()
    num, dim = table.shape
    assert (num, dim) == (grid[0] * grid[1], 64)
    # sin^2 + cos^2 = 1 for each of the dim / 2 angles.
    torch.testing.assert_close(
        table.norm(dim=1), torch.full((num,), (dim / 2) ** 0.5, dtype=torch.float64)
    )
    distances = torch.cdist(table, table).fill_diagonal_(torch.inf)
    assert distances.min() > 0.5


def test_columns_and_rows_take_a_half_each():
    table = sincos_positions((3, 5), 16)[0].view(3, 5, 16)
    assert torch.equal(table[0, :, :8], table[2, :, :8])
    assert torch.equal(table[:, 0, 8:], table[:, 4, 8:])
    assert not torch.equal(table[:, 0, 8:], table[:, 0, :8])
    assert table[0, 3, 0].item() == pytest.approx(torch.tensor(3.0).sin().item())
    assert table[2, 0, 8].item() == pytest.approx(torch.tensor(2.0).sin().item())


def test_products_depend_on_the_offset_alone():
    table = sincos_positions((6, 6), 32)[0].view(6, 6, 32).double()
    for down, right in [(0, 1), (1, 0), (2, 3)]:
        products = (table[: 6 - down, : 6 - right] * table[down:, right:]).sum(dim=-1)
        torch.testing.assert_close(
            products, products[0, 0].expand_as(products), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("num_prefix", [0, 1, 5])
def test_prefix_rows_are_zero(num_prefix):
    table = sincos_positions((2, 3), 8, num_prefix)
    assert not table[:, :num_prefix].any()
    assert torch.equal(table[:, num_prefix:], sincos_positions((2, 3), 8))

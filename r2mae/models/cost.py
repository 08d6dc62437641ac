"""What a pre-norm transformer block costs: floating-point operations and values kept for backward."""

from r2mae.models.protocol import Memory


def linear_flops(
    length: int, width_in: int, width_out: int, needs_input_gradient: bool = True
) -> int:
    """Forward and backward of a linear map on length tokens."""
    return 2 * length * width_in * width_out * (3 if needs_input_gradient else 2)


def block_flops(length: int, width: int, hidden: int) -> int:
    """Forward and backward of one block: four width x width maps, two of the MLP, fused attention.

    Fused attention computes two products forward; backward recomputes one and takes four more.
    """
    linears = 4 * linear_flops(length, width, width) + 2 * linear_flops(
        length, width, hidden
    )
    return linears + 7 * 2 * length * length * width


def block_saved(length: int, width: int, hidden: int, heads: int) -> Memory:
    """Values that one block keeps: norm inputs and statistics; q, k, v; inputs of four linear maps and of GELU.

    What attention puts out is what the linear map after it takes in: one storage, counted once.
    """
    return Memory(
        wide=length * (2 * width + 4 + heads), narrow=length * (6 * width + 2 * hidden)
    )

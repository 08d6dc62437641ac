"""Cost of a pre-norm transformer block: floating-point operations and activations.

length: tokens; width: of the residual stream; hidden: of the MLP.
"""

from r2mae.models.protocol import Memory


def linear_flops(
    length: int, width_in: int, width_out: int, needs_input_gradient: bool = True
) -> int:
    """Forward and backward of a linear layer on `length` tokens."""
    # Backward costs one product for the weight and, if needed, one for the input.
    num_products = 3 if needs_input_gradient else 2
    return 2 * length * width_in * width_out * num_products


def block_flops(length: int, width: int, hidden: int) -> int:
    """Forward and backward of one block: attention's four projections, MLP, attention."""
    projections = 4 * linear_flops(length, width, width)
    mlp = 2 * linear_flops(length, width, hidden)
    # Fused attention: two products forward; backward recomputes one and adds four.
    attention = 7 * 2 * length * length * width
    return projections + mlp + attention


def block_saved(length: int, width: int, hidden: int, heads: int) -> Memory:
    """Activations that one block keeps for backward.

    wide: inputs of both norms, their statistics, the log-sum-exp of each head.
    narrow: q, k, v, and inputs of the four linear layers and of GELU.
    """
    # Attention's output is the next layer's input: one storage, counted once.
    wide = length * (2 * width + 4 + heads)
    narrow = length * (6 * width + 2 * hidden)
    return Memory(wide, narrow)

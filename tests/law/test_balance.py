from itertools import product

import pytest

from r2mae.law import expected_maximum


@pytest.mark.parametrize("ranks", [1, 2, 5])
@pytest.mark.parametrize("costs", [[3.0], [1.0, 4.0, 2.0], [2.0, 2.0, 7.0, 1.0]])
def test_all_draws_counted(costs, ranks):
    draws = [max(draw) for draw in product(costs, repeat=ranks)]
    assert expected_maximum(costs, ranks) == pytest.approx(sum(draws) / len(draws))


def test_many_ranks_meet_the_greatest():
    assert expected_maximum([1.0, 9.0], 1000) == pytest.approx(9.0)

"""Options of reading a file instead of those of a recipe."""

from r2mae.modalities.cell.builds import with_reading
from r2mae.modalities.cell.schema import CellData, GenesSection


def test_only_options_that_are_given_replace_the_recipes():
    genes = GenesSection(by="symbol", duplicates="sum", min_cells=3)
    data = CellData(matrix="layers[counts]", round_counts=True, genes=genes)
    unset = {"matrix": None, "genes_by": None, "sum_duplicates": None, "other": 1}
    assert with_reading(data, unset) == data
    given = {"matrix": "X", "sum_duplicates": False, "round_counts": False}
    assert with_reading(data, given) == data.model_copy(
        update={
            "matrix": "X",
            "round_counts": False,
            "genes": genes.model_copy(update={"duplicates": "refuse"}),
        }
    )

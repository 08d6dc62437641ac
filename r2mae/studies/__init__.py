"""Studies: many runs that differ in their mask-ratio law, compared with statistics.

A study file names a recipe, laws, seeds and measurements. Each cell of its table is an
ordinary run folder in `studies/<name>/cells`, with `measurements.json` beside run.json.

    plan         study file -> cells and their recipes
    budget       steps of each law at equal operations
    cell         train and measure one cell
    queue        cells by several worker processes
    table        measurements of all cells
    statistics   paired comparisons, regret
    report       HTML and CSV
"""

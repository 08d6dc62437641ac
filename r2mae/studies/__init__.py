"""Studies: many runs that differ in their mask-ratio law, compared with statistics.

A study file names a recipe, laws, seeds and measurements. Each trial of its table is an
ordinary run folder in `studies/<name>/trials`, with `measurements.json` beside run.json.

    plan         study file -> trials and their recipes
    budget       steps of each law at equal operations
    trial         train and measure one trial
    queue        trials by several worker processes
    table        measurements of all trials
    statistics   paired comparisons, regret
    report       HTML and CSV
"""

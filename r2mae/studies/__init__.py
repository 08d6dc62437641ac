"""Studies: many runs that differ in their mask-ratio law, compared with statistics.

A study file names a recipe, laws, seeds and measurements. Each trial of its table is an
ordinary run folder in `studies/<name>/trials`, with `measurements.json` beside run.json.

    plan              study file -> trials and their recipes
    budget            steps of each law at equal FLOPs
    theory_card       what the theory predicts of the laws, before they train
    measure           held-out losses, probes and tasks of a finished run
    trial             train and measure one trial
    queue             trials in several worker processes
    table             measurements of all trials as arrays
    statistics        paired comparisons, corrected p-values, regret
    summary           gains of a law over fixed ratios
    theory_agreement  predicted against measured regret
    rows              these as rows of tables
    figures           plots of the report
    markup            tables and paragraphs of the report
    theory_section    its part on the theory
    report            HTML and CSV files
"""

"""Train scVI on the cells of an .npz, and replace it by features; for scripts/worth.py.

Run: PYTHON scripts/peer_scvi.py FILE.npz   (PYTHON: an interpreter with scvi-tools)

FILE.npz holds `train` (rows), `whole` and `one` (cells, genes), and afterwards the latent features of both.
"""

import sys

import anndata
import numpy as np
import scvi
import torch

torch.set_num_threads(1)
scvi.settings.seed = 0
place = sys.argv[1]
data = np.load(place)
train = anndata.AnnData(data["whole"][data["train"]])
scvi.model.SCVI.setup_anndata(train)
model = scvi.model.SCVI(train)
model.train(accelerator="cpu", enable_progress_bar=False)
latent = {
    part: model.get_latent_representation(anndata.AnnData(data[part]))
    for part in ("whole", "one")
}
np.savez(place, **latent)

"""Train scVI on the cells of an .npz, and replace it by features; for scripts/worth.py.

Run: PYTHON scripts/peer_scvi.py FILE.npz SECONDS   (PYTHON: an interpreter with scvi-tools)

SECONDS: of CPU time to train. The number of epochs follows from five that are timed; the KL term is warmed up over it.
FILE.npz holds `train` (rows), `whole` and `one` (cells, genes), and afterwards the latent features of both.
"""

import sys
import time

import anndata
import numpy as np
import scvi
import torch

torch.set_num_threads(1)
scvi.settings.seed = 0
place, seconds = sys.argv[1], float(sys.argv[2])
data = np.load(place)
train = anndata.AnnData(data["whole"][data["train"]])
scvi.model.SCVI.setup_anndata(train)
options = {"accelerator": "cpu", "enable_progress_bar": False}
start = time.process_time()
scvi.model.SCVI(train).train(max_epochs=5, **options)
epochs = max(5, int(5 * seconds / (time.process_time() - start)))
model = scvi.model.SCVI(train)
model.train(max_epochs=epochs, plan_kwargs={"n_epochs_kl_warmup": epochs}, **options)
latent = {
    part: model.get_latent_representation(anndata.AnnData(data[part]))
    for part in ("whole", "one")
}
np.savez(place, **latent)

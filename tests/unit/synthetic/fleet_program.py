"""One of some processes that train a small GAN together, three steps, in a folder of its own; what
it has come to is told."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from services.synthetic.training.fleet import Fleet
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.registry import entry_of
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.trainer import Trainer

fleet = Fleet.joined()
images = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8)).astype(np.uint8)
entry = entry_of("gan")
torch.manual_seed(0)
system = entry.build(entry.settings_of({"height": 8, "width": 8, "features": 4, "noise": 4}))
folder = Path(sys.argv[1]) / str(fleet.rank)
pictures = Pictures("noise", images, np.zeros(64, np.int64))
settings = TrainingSettings(steps=3, batch=4)
trainer = Trainer(system, pictures, settings, folder, identity={}, fleet=fleet)
batch = pictures.batch(4, trainer._random(0, 0))["images"]
trainer.run(lambda _: None)
weights = np.concatenate([one.detach().numpy().ravel() for one in system.parameters()])
# One write, so that the processes' lines stay whole.
said = {
    "rank": fleet.rank,
    "leads": fleet.leads,
    "saved": sorted(path.name for path in folder.iterdir()),
    "drew": hashlib.sha256(batch.numpy().tobytes()).hexdigest(),
    "weights": hashlib.sha256(weights.tobytes()).hexdigest(),
}
print(json.dumps(said) + "\n", end="", flush=True)
fleet.leave()

"""One of two processes: its gradient is 1 or 3, by its rank; what it is after averaging is told."""

import json

import torch

from services.synthetic.training.fleet import Fleet

fleet = Fleet.joined()
weight, still = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
(weight * (1 + 2 * fleet.rank)).sum().backward()
fleet.average_gradients([weight, still])
assert float(still.grad) == 0.0
# One write, so that the two processes' lines stay whole.
said = {"rank": fleet.rank, "leads": fleet.leads, "gradient": float(weight.grad)}
print(json.dumps(said) + "\n", end="", flush=True)
fleet.leave()

"""Few real characters a class, plus made ones -> how many of those held out are misread.

SAAE's purpose: data for supervised learning. For each seed some real pictures of each class are
drawn, all others of these classes are the test. The same recogniser learns for the same number of
steps from the real ones as they are, from the real ones augmented, and from both of these joined
by made ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch

from services.synthetic.training.augmentation import Augmentation
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.recogniser import Characters, learn
from services.synthetic.training.stylist import Stylist, StylistSettings
from shared.durable_file import write_durably
from shared.errors import Conflict, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor


PLAIN, CLASSICAL = "real", "real, augmented"
BASELINES = (PLAIN, CLASSICAL)

STRONG = Augmentation()
LIGHT = Augmentation(
    degrees=6, shear=0.09, scale=0.09, shift=0.9, elastic=0.3, thickness=0.42,
    blur=0.18, contrast=0.3,
)  # fmt: skip
"""Of made characters: they vary by themselves, and too much of both hides what they show."""

WATCHED = 1000
"""Of the test, drawn, are read in the course of the training; all of it at the end."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """each: real pictures of a class. least: of which a class has at least so many. made: pictures
    a class, one experiment each. share: of the made ones in a batch. steps: of the recogniser,
    looked at so often."""

    each: int = 5
    least: int = 40
    made: tuple[int, ...] = (10, 50, 200)
    share: float = 0.5
    steps: int = 800
    looks: int = 6
    stylist: StylistSettings = field(default_factory=StylistSettings)


@dataclass(frozen=True, eq=False)
class Task:
    """few: the real pictures to learn from. others: those of classes with too few pictures, which
    lend styles. held: the test."""

    few: Pictures
    others: Pictures
    held: Pictures


@dataclass(frozen=True)
class Outcome:
    """errors: share of the held-out characters misread. by_class: mean of the classes' shares.
    curve: (iterations, share read rightly of those watched)."""

    errors: float
    by_class: float
    curve: list[tuple[int, float]]


def arm(made: int, *, augmented: bool) -> str:
    return f"{CLASSICAL if augmented else PLAIN} + {made} made"


def drawn(pictures: Pictures, plan: Plan, seed: int) -> Task:
    """Raises Malformed (`too_few_classes`)."""
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    large = np.flatnonzero(counts >= max(plan.least, plan.each + 1))
    if len(large) < 2:
        raise Malformed(
            f"{pictures.name} has {len(large)} classes of {plan.least} pictures or more; two are"
            " the least to tell apart",
            code="too_few_classes",
        )
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(pictures.labels == label)) for label in large]
    few, held = (np.concatenate([row[part] for row in rows])
                 for part in (slice(plan.each), slice(plan.each, None)))  # fmt: skip
    others = np.flatnonzero(~np.isin(pictures.labels, large))
    return Task(
        _renamed(pictures, few, large), pictures.chosen(others), _renamed(pictures, held, large)
    )


def compare(
    task: Task, plan: Plan, *, seed: int, workspace: Path, say: Callable[[str], None]
) -> dict[str, Outcome]:
    """-> by arm. Done before, it is read from `workspace`.

    Raises Conflict (`other_settings`) where that was another plan or other data.
    """
    file = workspace / f"outcome-{seed}.json"
    identity = {
        "plan": asdict(plan) | {"made": list(plan.made)},
        "data": [task.few.name, _checksum(task)],
    }
    if file.is_file():
        return _read(file, identity)
    real, test = _characters(task.few), _characters(task.held)
    made = _made(task, plan, seed, workspace, say)
    classes = len(task.few.classes)
    watched = test.chosen(
        torch.randperm(len(test.labels), generator=torch.Generator().manual_seed(seed))[:WATCHED]
    )
    outcomes = {}
    for name, draw in _arms(real, made, plan).items():
        learnt = learn(
            draw, classes, steps=plan.steps, seed=seed, watched=watched, looks=plan.looks
        )
        wrong = learnt.recogniser.errors(test)
        shares = [float(wrong[test.labels == label].float().mean()) for label in range(classes)]
        outcomes[name] = Outcome(float(wrong.float().mean()), float(np.mean(shares)), learnt.curve)
        say(f"seed {seed}  {name}: {outcomes[name].errors:.2%} misread")
    told = {name: asdict(one) for name, one in outcomes.items()}
    write_durably(file, json.dumps({"identity": identity, "outcomes": told}).encode())
    return outcomes


def _read(file: Path, identity: Mapping[str, object]) -> dict[str, Outcome]:
    told = json.loads(file.read_bytes())
    if told["identity"] != json.loads(json.dumps(identity)):
        raise Conflict(
            f"{file} comes from another plan or other data; name another workspace",
            code="other_settings",
        )
    return {
        name: Outcome(
            one["errors"], one["by_class"], [(step, right) for step, right in one["curve"]]
        )
        for name, one in told["outcomes"].items()
    }


def _made(
    task: Task, plan: Plan, seed: int, workspace: Path, say: Callable[[str], None]
) -> Characters:
    """The most that any arm asks for, class after class. It learns from the few real ones alone;
    the others lend styles."""
    real = _characters(task.few)
    stylist = Stylist(
        task.few, real, plan.stylist, seed=seed, workspace=workspace / f"stylist-{seed}", say=say
    )
    styles = torch.cat([real.images, _characters(task.others).images])
    return stylist.made(max(plan.made), styles, seed=seed)


def _arms(
    real: Characters, made: Characters, plan: Plan
) -> dict[str, Callable[[int, torch.Generator], Characters]]:
    arms = {PLAIN: _draws(real, None), CLASSICAL: _draws(real, STRONG)}
    most = max(plan.made)
    place = torch.arange(len(made.labels)) % most
    for count in plan.made:
        some = made.chosen(torch.nonzero(place < count).flatten())
        for augmented in (False, True):
            arms[arm(count, augmented=augmented)] = _joined(
                _draws(real, STRONG if augmented else None),
                _draws(some, LIGHT if augmented else None),
                plan.share,
            )
    return arms


def _draws(
    characters: Characters, augmentation: Augmentation | None
) -> Callable[[int, torch.Generator], Characters]:
    def draw(count: int, random: torch.Generator) -> Characters:
        rows = torch.randint(len(characters.labels), (count,), generator=random)
        chosen = characters.chosen(rows)
        if augmentation is None:
            return chosen
        return Characters(augmentation(chosen.images, random), chosen.labels)

    return draw


def _joined(
    real: Callable[[int, torch.Generator], Characters],
    made: Callable[[int, torch.Generator], Characters],
    share: float,
) -> Callable[[int, torch.Generator], Characters]:
    def draw(count: int, random: torch.Generator) -> Characters:
        of_made = round(count * share)
        both = real(count - of_made, random).joined(made(of_made, random))
        return both.chosen(torch.randperm(count, generator=random))

    return draw


def _characters(pictures: Pictures) -> Characters:
    images: Tensor = torch.from_numpy(pictures.images).float() / 255
    return Characters(images, torch.from_numpy(pictures.labels))


def _checksum(task: Task) -> int:
    """Of all pictures and their labels."""
    found = 0
    for part in (task.few, task.held, task.others):
        found = crc32(part.labels.tobytes(), crc32(part.images.tobytes(), found))
    return found


def _renamed(pictures: Pictures, rows: NDArray[np.integer], kept: NDArray[np.integer]) -> Pictures:
    """With the kept classes alone, counted from 0."""
    chosen = pictures.chosen(rows)
    return Pictures(
        pictures.name,
        chosen.images,
        np.searchsorted(kept, chosen.labels).astype(np.int64),
        tuple(pictures.classes[label] for label in kept),
    )

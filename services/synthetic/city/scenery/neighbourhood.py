"""A scenery seed and a camera's number -> the street that it looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.synthetic.city.chance import stream
from services.synthetic.city.drawing.sprite import Rgb, scaled
from services.synthetic.city.scenery.facade import Facade
from services.synthetic.city.scenery.paving import Ground
from services.synthetic.city.scenery.street import (
    Marking,
    Prop,
    PropKind,
    Site,
    Street,
    Strip,
    TrafficLane,
    Viewpoint,
    Wall,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

NAMES: dict[Site, tuple[tuple[str, str], ...]] = {
    Site.SHOPPING_STREET: (("Market Street", "集市街"), ("Silk Lane", "丝绸巷")),
    Site.AVENUE: (("Library Avenue", "图书馆大道"), ("Harbour Road", "港湾路")),
    Site.PARK: (("Riverside Park", "滨河公园"), ("Maple Garden", "枫园")),
    Site.SQUARE: (("Station Square", "站前广场"), ("Museum Square", "博物馆广场")),
}

ORDER = (Site.SHOPPING_STREET, Site.AVENUE, Site.PARK, Site.SQUARE)

STONES: tuple[Rgb, ...] = (
    (176, 170, 160), (164, 160, 156), (186, 174, 156), (158, 150, 144), (172, 160, 150),
)  # fmt: skip
BRICKS: tuple[Rgb, ...] = ((168, 118, 96), (188, 166, 138), (150, 132, 120), (180, 140, 112))
PLASTERS: tuple[Rgb, ...] = ((204, 190, 164), (190, 182, 172), (196, 172, 148), (174, 182, 184))
LAWNS: tuple[Rgb, ...] = ((104, 128, 70), (96, 122, 76), (116, 130, 72))
ASPHALT: Rgb = (98, 100, 104)
TACTILE: Rgb = (206, 172, 84)
KERB: Rgb = (176, 174, 168)


def street(scenery_seed: int, n: int) -> Street:
    """The n-th street, from 0: the four kinds in turn, each with its own stones and angle."""
    site = ORDER[n % len(ORDER)]
    name, name_zh = NAMES[site][n // len(ORDER) % 2]
    return BLUEPRINTS[site](stream(scenery_seed, "street", n), name, name_zh)


def _pick(rng: np.random.Generator, choices: tuple[Rgb, ...]) -> Rgb:
    return choices[int(rng.integers(len(choices)))]


def _view(rng: np.random.Generator, yaw_deg: float, distance_m: float, focal: float) -> Viewpoint:
    """A viewpoint near the one that is given: nobody bolts two cameras on quite alike."""
    return Viewpoint(
        yaw_deg=yaw_deg + float(rng.uniform(-3, 3)),
        distance_m=distance_m + float(rng.uniform(-0.3, 0.3)),
        height_m=float(rng.uniform(4.2, 5.0)),
        focal=focal * float(rng.uniform(0.97, 1.03)),
        aim_u=float(rng.uniform(-0.4, 0.4)),
        aim_v=float(rng.uniform(-0.2, 0.3)),
    )


def _planter(u: float, v: float) -> tuple[Prop, Prop]:
    return Prop(PropKind.PLANTER, u, v), Prop(PropKind.POT, u, v - 0.01)


def _stream(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _shopping_street(rng: np.random.Generator, name: str, name_zh: str) -> Street:
    stone = _pick(rng, STONES)
    lamp = float(rng.uniform(-3.2, -1.5))
    return Street(
        site=Site.SHOPPING_STREET,
        name=name,
        name_zh=name_zh,
        stream=_stream(rng),
        near_v=-11.0,
        strips=(
            Strip(Ground.SETTS, 8.7, scaled(stone, 0.9)),
            Strip(Ground.SLABS, 4.5, stone),
            Strip(Ground.KERB, 0.3, KERB),
            Strip(Ground.SLABS, 1.6, scaled(stone, 0.95)),
        ),
        markings=(),
        walls=(Wall(3.4, 9.5, Facade.SHOPS, _pick(rng, BRICKS)),),
        props=(
            *_planter(lamp + 4.4, 2.75),
            Prop(PropKind.LAMP, lamp, 2.55),
            Prop(PropKind.BENCH, lamp + 2.1, 2.85),
            *_planter(lamp - 2.6, 2.75),
            Prop(PropKind.SIGN, lamp + 1.3, 3.34),
            Prop(PropKind.BOLLARD, lamp + 6.0, 2.4),
        ),
        lanes=(),
        viewpoint=_view(rng, float(rng.choice([-9, 9])), 10.5, 1.46),
    )


def _avenue(rng: np.random.Generator, name: str, name_zh: str) -> Street:
    stone = _pick(rng, STONES)
    yaw = float(rng.choice([-36, 36]))
    side = 1.0 if yaw > 0 else -1.0
    tree = float(rng.uniform(1.0, 2.2)) * side
    return Street(
        site=Site.AVENUE,
        name=name,
        name_zh=name_zh,
        stream=_stream(rng),
        near_v=-11.0,
        strips=(
            Strip(Ground.SLABS, 9.3, scaled(stone, 0.94)),
            Strip(Ground.TACTILE, 0.35, TACTILE),
            Strip(Ground.PAVERS, 3.9, stone),
            Strip(Ground.KERB, 0.35, KERB),
            Strip(Ground.ASPHALT, 6.8, ASPHALT),
            Strip(Ground.KERB, 0.35, KERB),
            Strip(Ground.PAVERS, 3.0, scaled(stone, 0.92)),
        ),
        markings=(Marking(3.2, 0.14, 0), Marking(6.2, 0.14, 2.2), Marking(9.3, 0.14, 0)),
        walls=(Wall(12.4, 10.0, Facade.HOUSES, _pick(rng, PLASTERS)),),
        props=(
            *(
                Prop(PropKind.TREE, tree + side * step, 10.6, 1.0)
                for step in (-5.5, 0.5, 6.5, 12.0)
            ),
            Prop(PropKind.LAMP, tree + side * 4.0, 2.35),
            *(
                Prop(PropKind.BOLLARD, tree + side * (4.0 + step), 2.3)
                for step in (-6.6, -4.4, -2.2, 2.2)
            ),
            Prop(PropKind.PARKED_CAR, tree + side * 9.0, 9.0),
        ),
        lanes=(TrafficLane(4.7, 1, 5.0), TrafficLane(7.6, -1, 5.0)),
        viewpoint=_view(rng, yaw, 12.2, 1.8),
    )


def _park(rng: np.random.Generator, name: str, name_zh: str) -> Street:
    lawn = _pick(rng, LAWNS)
    yaw = float(rng.choice([-32, 32]))
    side = 1.0 if yaw > 0 else -1.0
    bench = float(rng.uniform(-0.6, 1.0)) * side
    return Street(
        site=Site.PARK,
        name=name,
        name_zh=name_zh,
        stream=_stream(rng),
        near_v=-11.0,
        strips=(
            Strip(Ground.LAWN, 8.6, lawn),
            Strip(Ground.KERB, 0.15, KERB),
            Strip(Ground.GRAVEL, 4.5, (188, 174, 148)),
            Strip(Ground.KERB, 0.15, KERB),
            Strip(Ground.LAWN, 10.0, scaled(lawn, 1.04)),
        ),
        markings=(),
        walls=(
            Wall(10.5, 1.5, Facade.HEDGE, (62, 88, 50)),
            Wall(17.0, 9.0, Facade.HOUSES, _pick(rng, PLASTERS)),
        ),
        props=(
            Prop(PropKind.BENCH, bench, 2.9),
            Prop(PropKind.BIN, bench + 1.4 * side, 2.75),
            Prop(PropKind.TREE, bench + 4.2 * side, 4.6, 1.1),
            Prop(PropKind.TREE, bench - 3.1 * side, 6.6, 1.15),
            Prop(PropKind.TREE, bench + 10.5 * side, 7.2, 1.1),
            Prop(PropKind.BUSH, bench + 7.0 * side, 3.3, 1.0),
            Prop(PropKind.BUSH, bench - 1.8 * side, 3.6, 0.9),
            Prop(PropKind.LAMP, bench + 2.4 * side, 2.5),
            Prop(PropKind.BUSH, bench - 0.9 * side, -3.2, 0.8),
        ),
        lanes=(),
        viewpoint=_view(rng, yaw, 11.8, 1.69),
    )


def _square(rng: np.random.Generator, name: str, name_zh: str) -> Street:
    stone = _pick(rng, STONES)
    yaw = float(rng.choice([-39, 39]))
    side = 1.0 if yaw > 0 else -1.0
    return Street(
        site=Site.SQUARE,
        name=name,
        name_zh=name_zh,
        stream=_stream(rng),
        near_v=-11.0,
        strips=(
            Strip(Ground.SLABS, 8.9, scaled(stone, 0.86)),
            Strip(Ground.SLABS, 4.3, stone),
            Strip(Ground.CYCLE_LANE, 1.9, (146, 86, 76)),
            Strip(Ground.KERB, 0.3, KERB),
            Strip(Ground.ASPHALT, 6.4, ASPHALT),
            Strip(Ground.KERB, 0.3, KERB),
            Strip(Ground.SLABS, 4.0, scaled(stone, 0.9)),
        ),
        markings=(Marking(2.3, 0.1, 0), Marking(7.6, 0.14, 1.8)),
        walls=(Wall(14.0, 10.0, Facade.OFFICE, (150, 154, 158)),),
        props=(
            *(prop for step in (6.4, 2.2, -2.0) for prop in _planter(side * step, 2.75)),
            Prop(PropKind.LAMP, side * 4.3, 2.6),
            Prop(PropKind.TREE, side * 3.0, 12.2, 0.95),
            Prop(PropKind.TREE, side * 9.0, 12.2, 0.95),
            Prop(PropKind.TREE, side * 15.0, 12.2, 0.95),
        ),
        lanes=(TrafficLane(6.0, -1, 4.0), TrafficLane(9.2, 1, 4.0)),
        viewpoint=_view(rng, yaw, 12.6, 1.9),
    )


BLUEPRINTS: dict[Site, Callable[[np.random.Generator, str, str], Street]] = {
    Site.SHOPPING_STREET: _shopping_street,
    Site.AVENUE: _avenue,
    Site.PARK: _park,
    Site.SQUARE: _square,
}

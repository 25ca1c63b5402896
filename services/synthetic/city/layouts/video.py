"""An order -> all frames of all cameras, and the truth about each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from services.synthetic.city.city import City
from services.synthetic.city.layouts.folder import close
from shared.images import encode_jpeg

if TYPE_CHECKING:
    from services.synthetic.city.layouts.folder import Manifest
    from services.synthetic.city.layouts.order import Order
    from shared.messages import Box


def write_video(order: Order) -> Manifest | None:
    """`frames/CAMERA/FFFFFF.jpg`, and `truth.jsonl` with one object for each frame."""
    city = City(order.plan)
    order.total = city.frames * order.plan.cameras
    lines: list[str] = []
    for camera in city.cameras:
        for index in range(city.frames):
            if not order.goes_on():
                return None
            body = encode_jpeg(city.frame(camera.id, index), order.settings.quality)
            order.folder.add(f"frames/{camera.id}/{index:06d}.jpg", body)
            lines.append(_truth_line(city, camera.id, index))
    order.folder.add("truth.jsonl", "".join(lines).encode())
    counts = {"frames": len(lines), "anomalies": len(city.anomalies), "people": len(city.people)}
    return close(order.folder, "video", order.plan, order.settings, counts)


def _truth_line(city: City, camera_id: str, index: int) -> str:
    truth = city.truth(camera_id, index)
    line = {
        "camera_id": camera_id,
        "frame": index,
        "time_s": city.time_s(index),
        "people": [
            {"person_id": it.person_id, "box": _corners(it.box), "visible": it.visible_fraction}
            for it in truth.people
        ],
        "anomalies": [
            {"kind": it.kind, "box": _corners(it.box), "visible": it.visible_fraction}
            for it in truth.anomalies
        ],
    }
    return json.dumps(line) + "\n"


def _corners(box: Box) -> list[float]:
    return [box.x, box.y, box.width, box.height]

"""python -m services.ingest --camera ID --source SOURCE --gateway URL --api-key KEY"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.ingest.feeding import Pace, feed
from services.ingest.pusher import Pusher, Refused
from services.ingest.sources import Source, open_source
from shared.errors import CityBrainError


def main(
    camera: Annotated[str, typer.Option(help="Its id; registered where it is unknown")],
    source: Annotated[
        str, typer.Option(help="Folder of images, video file, rtsp://..., or webcam number")
    ],
    gateway: Annotated[str, typer.Option(envvar="GATEWAY_URL")] = "http://127.0.0.1:8000",
    api_key: Annotated[str, typer.Option(envvar="API_KEY", help="Scope frames:write")] = "",
    fps: Annotated[float | None, typer.Option(help="Of the source, where it does not say")] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime/--fast", help="At the source's rate, or as fast as taken")
    ] = True,
    start_time: Annotated[
        datetime | None, typer.Option(help="Capture time of the first frame")
    ] = None,
    analysis_fps: Annotated[
        float | None, typer.Option(help="Frames a second that are analysed")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="live or archive, of the camera")] = None,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Frames per request, with --fast")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line")] = False,
) -> None:
    """Pushes footage to a camera. Ctrl-C stops; the gateway away or busy is waited for."""
    if not api_key:
        raise typer.BadParameter("an API key is needed: --api-key or the variable API_KEY")
    console = Console(stderr=True)
    start = start_time.astimezone() if start_time else None
    try:
        opened = open_source(source, fps)
        pusher = Pusher(gateway, api_key, camera, tell=lambda text: console.log(text))
        pace = Pace(realtime=realtime, start=start, batch=batch)
        seconds = asyncio.run(_run(opened, pusher, pace, console, analysis_fps, mode))
    except (CityBrainError, Refused) as error:
        console.print(f"error: {error}", style="red", highlight=False)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    tally = pusher.tally
    rate = tally.done / seconds if seconds else 0.0
    console.print(
        f"{tally.done} frames in {seconds:.1f} s, {rate:.1f} frames/s: {tally.accepted} accepted,"
        f" {tally.thinned} thinned, {sum(tally.refused.values())} refused {tally.refused or ''}"
    )
    if as_json:
        print(json.dumps(asdict(tally) | {"seconds": seconds, "frames_per_s": rate}))


async def _run(
    source: Source,
    pusher: Pusher,
    pace: Pace,
    console: Console,
    analysis_fps: float | None,
    mode: str | None,
) -> float:
    """Seconds that the push has taken."""
    await pusher.register(source.name, analysis_fps, mode)
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(source.name, total=source.total, rate=0.0)

            def show() -> None:
                done = pusher.tally.done
                bar.update(task, completed=done, rate=done / (time.monotonic() - began))

            await feed(source, pusher, pace, show)
    finally:
        await pusher.close()
    return time.monotonic() - began


if __name__ == "__main__":
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    typer.run(main)

"""python -m services.embedded [demo]"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.live import Live

from services.embedded.demo import Demo
from services.embedded.layout import lay_out
from services.embedded.report import progress_line, tables
from services.embedded.supervision import EmbeddedCity
from services.synthetic.city.city import City
from services.synthetic.city.plan import CityPlan
from shared.errors import CityBrainError
from shared.program import command_line

DEFAULT_SECONDS = 60.0

cli = command_line(__doc__)
console = Console()


@cli.callback()
def main(
    context: typer.Context,
    home: Annotated[Path, typer.Option(envvar="CITYBRAIN_HOME")] = Path(".citybrain"),
    host: Annotated[str, typer.Option(help="0.0.0.0 to be seen by others")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the gateway and its page")] = 8000,
) -> None:
    """Starts Redis and every service on this machine, until Ctrl-C."""
    if context.invoked_subcommand is None:
        _run(_quickstart(home, host, port))


@cli.command()
def demo(
    seed: Annotated[int, typer.Option(help="Of the people and of what goes wrong")] = 7,
    port: Annotated[int, typer.Option(help="Of the gateway and its page")] = 8000,
) -> None:
    """Feeds a simulated city of four cameras, and prints what was found against what was true.

    With DEMO_SECONDS set it ends by itself after so much footage; its exit code is 0 if alert
    precision is at least 0.5 with one true alert or more, and trajectory IDF1 at least 0.6 with one
    true trajectory across cameras or more.
    """
    _run(_demo(seed, port, os.environ.get("DEMO_SECONDS")))


def _run(work: object) -> None:
    """Runs until done or told to stop; either way everything that was started is stopped."""
    try:
        code = asyncio.run(_until_told(work))
    except CityBrainError as error:
        console.print(f"error: {error}", style="red", highlight=False)
        code = 1
    raise SystemExit(code)


async def _until_told(work: object) -> int:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signal_number, task.cancel)
    with suppress(asyncio.CancelledError):
        return int(await task)
    console.print("stopped; nothing is left running")
    return 130


async def _quickstart(home: Path, host: str, port: int) -> int:
    layout = lay_out(home, host, {"gateway": port})
    async with EmbeddedCity(layout, console.log) as city:
        headers = {"X-API-Key": city.admin_key}
        async with httpx.AsyncClient(base_url=layout.url(), headers=headers) as api:
            ticket = (await api.post("/v1/tickets")).raise_for_status().json()["ticket"]
        console.print(
            f"page       {layout.url()}/?ticket={ticket}", highlight=False, soft_wrap=True
        )
        console.print(f"admin key  {layout.admin_key_file}", highlight=False, soft_wrap=True)
        console.print(f"API        {layout.url()}/docs", highlight=False)
        await asyncio.Event().wait()
    return 0


async def _demo(seed: int, port: int, seconds: str | None) -> int:
    plan = CityPlan(seed=seed, duration_s=float(seconds or DEFAULT_SECONDS))
    with tempfile.TemporaryDirectory(prefix="citybrain-demo-") as folder:
        layout = lay_out(Path(folder), "127.0.0.1", {"gateway": port})
        async with EmbeddedCity(layout, console.log) as embedded:
            show = Demo(embedded, City(plan))
            try:
                good = await _play(show, plan)
                if seconds is not None:
                    return 0 if good else 1
                address = await show.page_address()
                console.print(f"page  {address}", highlight=False, soft_wrap=True)
                console.print("the city stays up until Ctrl-C")
                await asyncio.Event().wait()
            finally:
                await show.close()
    return 0


async def _play(show: Demo, plan: CityPlan) -> bool:
    await show.register()
    address = await show.page_address()
    console.print(f"page  {address}", highlight=False, soft_wrap=True)
    with Live(console=console, transient=True) as live:
        counts = (0, 0)

        async def count() -> None:
            nonlocal counts
            while True:
                counts = await show.counts()
                await asyncio.sleep(2)

        counting = asyncio.create_task(count())
        try:
            await show.feed(
                lambda city_s: live.update(progress_line(city_s, plan.duration_s, *counts))
            )
        finally:
            counting.cancel()
    console.log("all frames are pushed; waiting for the last outcomes")
    await show.drain()
    scorecard = await show.scorecard()
    for table in tables(scorecard):
        console.print(table)
    return scorecard.is_good


if __name__ == "__main__":
    cli()

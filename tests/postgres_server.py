"""A temporary folder -> a PostgreSQL server that keeps its cluster there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SERVER_OPTIONS = (
    # A test's cluster need not outlive a power cut.
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    " -c listen_addresses='' -c shared_buffers=16MB -c max_connections=100"
)


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).parent if on_path else None


class PostgresServer:
    """A PostgreSQL server of our own, that a test may stop and start again.

    PostgreSQL refuses to run as root: then the system's `postgres` user runs it. The folder is made
    beside pytest's own, whose parents only their owner may enter.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="citybrain-pg-"))
        self._data = self._folder / "data"
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_user = [
                *("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"),
            ]
        self._call(
            *("initdb", "--auth=trust", "--username=city", "--encoding=UTF8", "--no-sync"),
            *("--no-locale", f"--pgdata={self._data}"),
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+asyncpg://city@/{database}?host={self._folder}"

    def start(self) -> None:
        options = f"{SERVER_OPTIONS} -k {self._folder}"
        log = self._folder / "log"
        self._call("pg_ctl", f"--pgdata={self._data}", f"--log={log}", f"-o {options}", "start")

    def stop(self) -> None:
        """Cuts the clients off; what was committed stays."""
        self._call("pg_ctl", f"--pgdata={self._data}", "--mode=fast", "stop")

    def create(self, database: str) -> None:
        self._call("createdb", *self._client, database)

    def drop(self, database: str) -> None:
        self._call("dropdb", *self._client, "--force", database)

    @property
    def _client(self) -> tuple[str, ...]:
        return (f"--host={self._folder}", "--username=city")

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_user, str(self._programs / program), *arguments],
            cwd=self._folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

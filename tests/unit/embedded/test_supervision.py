from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from services.embedded import supervision
from services.embedded.layout import free_port, is_free, lay_out
from services.embedded.supervision import EmbeddedCity
from shared.errors import Unavailable


def test_ports_that_are_taken_are_left_alone(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        layout = lay_out(tmp_path, "127.0.0.1", {"gateway": taken})
        assert layout.ports["gateway"] != taken
        assert is_free("127.0.0.1", layout.ports["gateway"])


async def test_another_city_on_the_port_is_not_taken_for_ours(tmp_path, monkeypatch):
    """It took the port between the look and the start: it answers, and says it is ready."""
    monkeypatch.setattr(supervision, "START_S", 1.0)

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"service": "gateway", "version": "0", "instance": "other"}')

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", free_port("127.0.0.1")), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        layout = lay_out(tmp_path, "127.0.0.1", {})
        layout.ports["gateway"] = server.server_port
        city = EmbeddedCity(layout, tell=lambda line: None)
        with pytest.raises(Unavailable, match="somebody else answers"):
            await city._await_ready("gateway")
    finally:
        server.shutdown()
        server.server_close()

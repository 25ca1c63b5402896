"""The profile `qdrant` of docker-compose.yml, as it is written."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def services(written):
    return written.config(profiles=("qdrant",))["services"]


@pytest.mark.parametrize("name", ["qdrant", "qdrant-peer"])
def test_a_node_is_watched_bounded_unprivileged_and_reached_from_inside_only(services, name):
    node = services[name]
    assert node["profiles"] == ["qdrant"]
    assert node["restart"] == "unless-stopped"
    assert node["healthcheck"]["test"]
    assert node["mem_limit"]
    assert float(node["cpus"]) > 0
    assert node["cap_drop"] == ["ALL"]
    assert node["read_only"] is True
    assert node["user"].partition(":")[0] not in ("", "0", "root")
    assert set(node["networks"]) == {"inner"}
    assert not node.get("ports")


def test_peers_join_the_first_node_and_share_its_key_but_not_its_storage(services):
    first, peer = services["qdrant"], services["qdrant-peer"]
    assert "--bootstrap http://qdrant:6335" in " ".join(peer["entrypoint"])
    assert peer["environment"] == first["environment"]
    assert first["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
    assert "qdrant" in str(first["volumes"])
    assert "qdrant:/" not in str(peer["volumes"])
    assert not any("source': 'qdrant'" in str(volume) for volume in peer["volumes"])

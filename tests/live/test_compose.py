"""docker-compose.yml as it is written: what every service of it promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import BaseModel

from services.anomaly.settings import AnomalySettings
from services.gateway.settings import GatewaySettings
from services.reid.settings import ReidSettings
from services.synthetic.settings import SyntheticSettings
from tests.live.conftest import GPU, ROOT, new_env

pytestmark = pytest.mark.docker

PROFILES = ("ingest", "monitoring", "tools", "training")
ONE_SHOT = {
    "databases",
    "init-gateway",
    "init-reid",
    "init-synthetic",
    "init-trainer",
    "admin-key",
}
DOORS = {"edge", "grafana"}
SETTINGS = {
    "gateway": GatewaySettings,
    "anomaly": AnomalySettings,
    "reid": ReidSettings,
    "synthetic": SyntheticSettings,
}
DECIDED_BY_THE_IMAGE = {"CITYBRAIN_HOME", "MODELS_FOLDER", "HOST", "PORT"}
OF_THE_EMBEDDED_CITY = {"INSTANCE"}
NOBODYS = DECIDED_BY_THE_IMAGE | OF_THE_EMBEDDED_CITY
OF_TRAINING = {"TRAINING_THREADS", "TRAINING_WAITS_AT"}
NOT_SET = dict.fromkeys(SETTINGS, NOBODYS) | {
    "anomaly": NOBODYS | {"DATABASE_URL", "ANOMALY_ROLES"} | OF_TRAINING,  # it scores alone
    "reid": NOBODYS | OF_TRAINING,  # it embeds, and trains nothing
    "synthetic": NOBODYS | {"BLOBS_FOLDER"} | OF_TRAINING,  # it stores no blobs, nor trains
}
DECIDED_BY_COMPOSE = {
    "BUS_URL",
    "FRAMES_URL",
    "DATABASE_URL",
    "BLOBS_FOLDER",
    "REID_URL",
    "TRAINING_URL",
    "REID_TRAINING_URL",
    "STUDIO_URL",
}


@pytest.fixture(scope="module")
def services(written):
    return written.config(profiles=PROFILES)["services"]


def test_both_files_are_valid_and_the_gpu_is_asked_for_by_anomaly_and_reid(written):
    plain = written.config()["services"]
    on_gpu = written.config(GPU)["services"]

    assert set(plain) == set(on_gpu)
    for service in ("anomaly", "reid"):
        (device,) = on_gpu[service]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert on_gpu[service]["build"]["args"]["ACCELERATOR"] == "gpu"
        assert on_gpu[service]["environment"]["INFERENCE_PROVIDER"] == "cuda"
        assert on_gpu[service]["image"] != plain[service]["image"]


def test_every_service_that_stays_is_watched_and_restarted(services):
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no", name
        elif name == "ingest":
            assert service["restart"] == "on-failure"
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_every_service_has_limits_and_no_privileges(services):
    for name, service in services.items():
        assert service["mem_limit"], name
        assert float(service["cpus"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert not service.get("privileged"), name


def test_only_the_doors_publish_ports_and_on_this_machine_alone(services):
    published = {name for name, service in services.items() if service.get("ports")}

    assert published == DOORS
    for name in DOORS:
        (port,) = services[name]["ports"]
        address = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
        assert address == "127.0.0.1"


def test_what_holds_data_is_on_no_network_with_a_way_out(written):
    config = written.config()

    assert config["networks"]["inner"]["internal"] is True
    for name in ("redis", "frames", "postgres", "anomaly", "reid", "synthetic"):
        assert set(config["services"][name]["networks"]) == {"inner"}, name


def test_no_service_has_a_name_of_its_own_so_that_all_can_be_scaled(services):
    assert not [name for name, service in services.items() if "container_name" in service]


def test_secrets_are_demanded_by_name_when_they_are_unset(written, tmp_path):
    example = (ROOT / "deploy" / "env.example").read_text()
    for secret in re.findall(r"^(\w+_PASSWORD)=$", example, re.MULTILINE):
        (tmp_path / "env").write_text(new_env(**{secret: ""}))
        refused = replace(written, env=tmp_path / "env").attempt("config")
        assert refused.returncode != 0, secret
        assert secret in refused.stderr
        assert "make a .env first" in refused.stderr


def test_a_new_env_has_a_password_of_its_own_behind_every_name():
    first, second = new_env(), new_env()
    passwords = re.findall(r"^\w+_PASSWORD=(\w+)$", first + second, re.MULTILINE)

    assert len(passwords) == len(set(passwords)) == 14
    assert min(map(len, passwords)) >= 48


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_of_a_service_can_be_set_and_is_explained(services, name):
    fields = set(_variables(SETTINGS[name])) - NOT_SET[name]
    example = (ROOT / "deploy" / "env.example").read_text()

    assert fields <= set(services[name]["environment"])
    for field in fields - DECIDED_BY_COMPOSE:
        assert re.search(rf"^(# )?{field}=", example, re.MULTILINE), field


def test_the_trainer_trains_beside_the_anomaly_service_and_shares_its_models(services):
    trainer, anomaly, gateway = (services[name] for name in ("trainer", "anomaly", "gateway"))
    example = (ROOT / "deploy" / "env.example").read_text()

    assert trainer["profiles"] == ["training"]
    assert trainer["environment"]["ANOMALY_ROLES"] == '["train"]'
    assert trainer["build"]["args"]["ACCELERATOR"] == "cpu,train"
    assert gateway["environment"]["TRAINING_URL"] == "http://trainer:8000"
    for field in OF_TRAINING:
        assert field in trainer["environment"]
        assert f"# {field}=" in example
    assert [_writes_models(one) for one in (trainer, anomaly, gateway)] == [True, False, False]


def test_the_re_id_trainer_shares_models_and_database_with_those_that_embed(services):
    trainer, reid, gateway = (services[name] for name in ("reid-trainer", "reid", "gateway"))

    assert trainer["profiles"] == ["training"]
    assert trainer["environment"]["REID_ROLES"] == '["train"]'
    assert trainer["build"]["args"] == {"SERVICE": "reid", "ACCELERATOR": "cpu,train"}
    assert set(trainer["environment"]) >= OF_TRAINING
    assert gateway["environment"]["REID_TRAINING_URL"] == "http://reid-trainer:8000"
    assert gateway["environment"]["STUDIO_URL"] == "http://studio:8000"
    for setting in ("BLOBS_FOLDER", "MIN_QUALITY"):
        assert trainer["environment"][setting] == reid["environment"][setting]
    assert trainer["environment"]["DATABASE_URL"] == reid["environment"]["DATABASE_URL"]
    assert [_writes_models(one) for one in (trainer, reid)] == [True, False]


def test_the_studio_learns_beside_the_synthetic_service_on_the_same_data_sets(services):
    studio, synthetic = services["studio"], services["synthetic"]

    assert studio["profiles"] == ["training"]
    assert studio["build"]["args"] == {"SERVICE": "synthetic", "ACCELERATOR": "cpu,train"}
    assert set(studio["environment"]) >= OF_TRAINING
    assert studio["environment"]["DATABASE_URL"] == synthetic["environment"]["DATABASE_URL"]
    assert [_writes_models(one) for one in (studio, synthetic)] == [True, False]


def _writes_models(service: dict) -> bool:
    """Whether the service may; both spellings of a volume. Raises where it has no models."""
    (mode,) = [
        volume.partition("/models:")[2]
        if isinstance(volume, str)
        else "ro" * volume.get("read_only", False)
        for volume in service["volumes"]
        if "/var/lib/citybrain/models" in str(volume)
    ]
    return mode != "ro"


def _variables(settings: type[BaseModel]) -> Iterator[str]:
    """The names of its environment variables; those of a group within it are GROUP__NAME."""
    for name, field in settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from (f"{name.upper()}__{inner}" for inner in _variables(group))
        else:
            yield name.upper()


def test_a_setting_in_the_env_reaches_its_service(written, tmp_path):
    (tmp_path / "env").write_text(new_env(CLIP_STRIDE="4", BUS_PARTITIONS="8"))
    changed = replace(written, env=tmp_path / "env").config()
    environment = changed["services"]["gateway"]["environment"]

    assert environment["CLIP_STRIDE"] == "4"
    assert environment["BUS_PARTITIONS"] == "8"
    assert environment["CLIP_LENGTH"] is None


def test_a_dashboard_and_alerts_ask_only_for_figures_that_are_exported():
    code = "\n".join(
        path.read_text()
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
    )
    exported = set(re.findall(r'"(citybrain_\w+)"', code))
    asked = set()
    for file in ("grafana/dashboards/city.json", "prometheus/alerts.yml"):
        text = (ROOT / "deploy" / file).read_text()
        asked |= {name.removesuffix("_bucket") for name in re.findall(r"citybrain_\w+", text)}

    assert asked
    assert asked <= exported

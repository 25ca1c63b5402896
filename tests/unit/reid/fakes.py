"""Stand-ins for what a test need not have."""

from __future__ import annotations

from types import SimpleNamespace

from shared.model_store import IdentityPrior


class OneModelStore:
    """A store whose every model is calibrated alike: even odds at a cosine of 0.5. It lists one."""

    names = ("m",)

    def card(self, name: str):
        return SimpleNamespace(sha256="d" * 64)

    def load(self, name: str):
        prior = IdentityPrior(
            slope=20.0, offset=-10.0, same_person_q05=0.6, different_person_q99=0.4
        )
        return SimpleNamespace(card=SimpleNamespace(name=name, identity=prior))

"""Settings -> the parts of a running gateway, put together in one visible place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx

from services.gateway.composer.adaptations import AdaptationConductor
from services.gateway.composer.clock import Clock
from services.gateway.composer.evidence import EvidenceKeeper
from services.gateway.composer.people import PeopleComposer
from services.gateway.composer.quiet import QuietKeeper
from services.gateway.composer.recorder import FootageRecorder
from services.gateway.composer.scores import ScoreComposer
from services.gateway.composer.trainings import TrainingConductor
from services.gateway.feed import Feed
from services.gateway.intake.backlog import BacklogGauge
from services.gateway.intake.doorman import Doorman
from services.gateway.intake.sweeper import Sweeper
from services.gateway.intake.window import Windows
from services.gateway.peers import AdaptingPeer, ReidPeer, StudioPeer, TrainingPeer
from services.gateway.store.cameras import Registry
from services.gateway.store.keys import Keys
from services.gateway.store.tables import LeaseRow, OriginRow, OutboxRow
from shared.blobs import FolderBlobs
from shared.bus import Bus
from shared.consumer import Consumer
from shared.database import Database
from shared.leases import Leadership
from shared.messages import ClipScored, PersonsRevised, PersonsSighted
from shared.outbox import Relay
from shared.topics import EVENTS, SCORES, SIGHTINGS, Group

if TYPE_CHECKING:
    from services.gateway.settings import GatewaySettings
    from shared.blobs import BlobStore
    from shared.health import Health
    from shared.service import Tasks


@dataclass
class City:
    """Everything that routes and tasks of one gateway share."""

    settings: GatewaySettings
    bus: Bus
    database: Database
    blobs: BlobStore
    quiet: QuietKeeper
    recorder: FootageRecorder
    registry: Registry
    windows: Windows
    doorman: Doorman
    keys: Keys
    feed: Feed
    relay: Relay
    reid: ReidPeer
    training: TrainingPeer
    adapting: AdaptingPeer
    studio: StudioPeer
    health: Health

    @classmethod
    def build(cls, settings: GatewaySettings, health: Health) -> Self:
        """Opens nothing that could be away: connections are made when they are first used."""
        bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
        database = Database(settings.database_of("gateway"))
        windows = Windows(bus, settings)
        keys = Keys(database, bus)
        blobs = FolderBlobs(settings.blobs)
        return cls(
            settings=settings,
            bus=bus,
            database=database,
            blobs=blobs,
            quiet=QuietKeeper(database, bus, blobs),
            recorder=FootageRecorder(database, bus, blobs, settings.training_footage_bytes),
            registry=Registry(database),
            windows=windows,
            doorman=Doorman(bus, windows, settings),
            keys=keys,
            feed=Feed(bus, health.vital("feed")),
            relay=Relay(
                database,
                bus,
                EVENTS,
                outbox=OutboxRow,
                origin=OriginRow,
                vital=health.vital("relay"),
            ),
            reid=ReidPeer(httpx.AsyncClient(base_url=settings.reid_url, timeout=30), keys),
            training=TrainingPeer(
                httpx.AsyncClient(base_url=settings.training_url, timeout=30), keys
            ),
            adapting=AdaptingPeer(
                httpx.AsyncClient(base_url=settings.reid_training_url, timeout=30), keys
            ),
            studio=StudioPeer(httpx.AsyncClient(base_url=settings.studio_url, timeout=30), keys),
            health=health,
        )

    async def close(self) -> None:
        await self.reid.close()
        await self.training.close()
        await self.adapting.close()
        await self.studio.close()
        await self.bus.close()
        await self.database.close()

    def tasks(self) -> Tasks:
        """What runs beside the routes."""
        scores = self._score_composer()
        people = PeopleComposer(self.database, self.relay)
        sweeper = Sweeper(
            self.bus, self.windows, self.registry, self.settings, self.health.vital("sweeper")
        )
        return {
            "scores": Consumer(
                self.bus,
                SCORES,
                Group.COMPOSER,
                ClipScored,
                scores.handle,
                scores.bury,
                self.health.vital("scores"),
                slots=4,
            ).run,
            "sightings": Consumer[PersonsSighted | PersonsRevised](
                self.bus,
                SIGHTINGS,
                Group.COMPOSER,
                PersonsSighted,
                people.handle,
                people.bury,
                self.health.vital("sightings"),
                slots=4,
                also=(PersonsRevised,),
            ).run,
            "feed": self.feed.run,
            "sweeper": sweeper.run,
            "backlog": BacklogGauge(self.bus, self.health.vital("backlog")).run,
            **self._led(scores),
        }

    def _score_composer(self) -> ScoreComposer:
        keeper = EvidenceKeeper(self.database, self.bus, self.blobs, self.quiet, self.relay)
        return ScoreComposer(
            self.database,
            self.bus,
            keeper,
            self.quiet,
            self.recorder,
            self.relay,
            self.settings.alarm,
            self.settings.tampering_alarm,
        )

    def _led(self, scores: ScoreComposer) -> Tasks:
        """The leader's work, done by one gateway at a time."""
        clock = Clock(
            self.database,
            self.bus,
            scores,
            self.relay,
            self.settings.offline_after_s,
            self.health.vital("clock"),
        )
        trainings = TrainingConductor(
            self.database, self.blobs, self.training, self.health.vital("trainings")
        )
        adaptations = AdaptationConductor(
            self.database, self.adapting, self.studio, self.health.vital("adaptations")
        )
        return {
            "relay": lambda: self._leadership("relay").run(self.relay.run),
            "clock": lambda: self._leadership("clock").run(clock.run),
            "trainings": lambda: self._leadership("trainings").run(trainings.run),
            "adaptations": lambda: self._leadership("adaptations").run(adaptations.run),
        }

    def _leadership(self, name: str) -> Leadership:
        return Leadership(self.database, LeaseRow, name, self.health.vital(name))

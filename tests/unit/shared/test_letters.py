from __future__ import annotations

from shared.blobs import FolderBlobs
from shared.bus import Delivery
from shared.letters import bury_clip
from shared.messages import ClipReady, FrameRef, LetterDied
from shared.topics import CLIPS, DEAD, Group


async def test_a_dead_clip_keeps_its_frames_for_a_replay(bus, tmp_path):
    blobs = FolderBlobs(tmp_path)
    frames = tuple(FrameRef(key=f"frame.{n}", captured_us=n, width=64, height=64) for n in range(3))
    await bus.frames.set("frame.0", b"zero")
    await bus.frames.set("frame.2", b"two")
    clip = ClipReady(
        camera_id="gate",
        born=1,
        epoch=0,
        seq=7,
        frames=frames,
        owned_from=0,
        ready_us=1,
        expires_us=2,
    )
    delivery = Delivery(CLIPS, 0, "5-0", "ClipReady", clip.pack(), "", deliveries=6)
    for _ in range(2):  # a worker that died in between does it again
        await bury_clip(bus, blobs, clip, delivery, Group.ANOMALY, "ValueError: no")
    letters = [
        LetterDied.unpack(fields[b"body"]) for _, fields in await bus.redis.xrange(DEAD.key())
    ]
    assert letters[0].frames == letters[1].frames
    assert (letters[0].group, letters[0].entry_id, letters[0].error) == (
        Group.ANOMALY,
        "5-0",
        "ValueError: no",
    )
    assert ClipReady.unpack(letters[0].body) == clip
    kept = {key: await blobs.get(blob) for key, blob in letters[0].frames.items()}
    assert kept == {"frame.0": b"zero", "frame.2": b"two"}, "what had expired is gone"

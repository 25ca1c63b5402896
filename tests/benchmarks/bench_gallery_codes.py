"""Codes of 16 to 256 bits learnt together beside FAISS's quantisers -> recall at equal memory.

Run by `make bench`; skips where the crops of CITYBRAIN_DATA are absent. All methods learn from the
same vectors, of mixtures of real people that are not in the gallery that is searched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import torch

from services.reid.gallery.codes import Coder
from services.reid.models.joint_hashing import JointHashing, JointSettings
from services.reid.training.hashing import LENGTHS, learn_nested
from tests.benchmarks.people_vectors import SIGHTINGS, real_people

RESULTS = Path(__file__).parent / "results" / "gallery-codes.md"
STORED = int(os.environ.get("BENCH_CODES", "20000"))
LEARNT_FROM = 5_000
QUERIES = 100
K = 10
RANKED = (200, 1000)
"""Candidates whose vectors are then compared."""

Search = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(stored, queries, candidates) -> rows of the stored, (queries, candidates), nearest first."""


def hamming(codes: Callable[[np.ndarray], np.ndarray]) -> Search:
    """codes: vectors to packed bits."""

    def search(stored: np.ndarray, queries: np.ndarray, candidates: int) -> np.ndarray:
        return faiss.knn_hamming(codes(queries), codes(stored), candidates)[1]

    return search


def prefix(coder: Coder, bits: int) -> Search:
    return hamming(lambda vectors: np.ascontiguousarray(coder.codes(vectors)[:, : bits // 8]))


def of_index(index: faiss.Index, vectors: np.ndarray) -> Search:
    index.train(vectors)

    def search(stored: np.ndarray, queries: np.ndarray, candidates: int) -> np.ndarray:
        index.reset()
        index.add(stored)
        return index.search(queries, candidates)[1]

    return search


def joint(vectors: np.ndarray, people: np.ndarray, mean: np.ndarray, across: float) -> dict:
    """Codes of every length. across: the weight of what the lengths tell of each other."""
    model = JointHashing(
        torch.from_numpy(vectors - mean),
        torch.from_numpy(people),
        LENGTHS,
        JointSettings(lengths=across),
    )
    model.learn()

    def coded(length: int) -> Search:
        def codes(found: np.ndarray) -> np.ndarray:
            bits = model.encode(torch.from_numpy(found - mean), length).numpy()
            return np.packbits(bits > 0, axis=1)

        return hamming(codes)

    return {length: coded(length) for length in LENGTHS}


def itq(vectors: np.ndarray, bits: int) -> Search:
    transform = faiss.ITQTransform(256, bits, True)
    transform.train(vectors[:4096])
    return hamming(lambda found: np.packbits(transform.apply(found) > 0, axis=1))


def methods(vectors: np.ndarray, people: np.ndarray) -> dict[str, tuple[int, Search]]:
    """By name: bytes a tracklet, and the search."""
    mean = vectors.mean(axis=0)
    signs, nested = Coder.of_signs(vectors), learn_nested(vectors)
    jointly = joint(vectors, people, mean, across=0.1)
    alone = joint(vectors, people, mean, across=0.0)
    found: dict[str, tuple[int, Search]] = {}
    for bits in LENGTHS:
        size = bits // 8
        found[f"nested, {bits} bits of one code"] = (size, prefix(nested, bits))
        found[f"joint lengths, {bits} bits"] = (size, jointly[bits])
        found[f"each length alone, {bits} bits"] = (size, alone[bits])
        found[f"signs, the first {bits}"] = (size, prefix(signs, bits))
        found[f"ITQ, {bits} bits"] = (size, itq(vectors, bits))
        product = faiss.IndexPQ(256, size, 8, faiss.METRIC_INNER_PRODUCT)
        found[f"FAISS PQ{size}x8"] = (size, of_index(product, vectors))
    for name, size, kind in (
        ("FAISS SQ4", 128, faiss.ScalarQuantizer.QT_4bit),
        ("FAISS SQ8", 256, faiss.ScalarQuantizer.QT_8bit),
        ("float16, exact", 512, faiss.ScalarQuantizer.QT_fp16),
    ):
        index = faiss.IndexScalarQuantizer(256, kind, faiss.METRIC_INNER_PRODUCT)
        found[name] = (size, of_index(index, vectors))
    return found


def row(name: str, size: int, rows: np.ndarray, stored: np.ndarray, queries: np.ndarray,
        truth: np.ndarray) -> str:  # fmt: skip
    shares = [share(rows[:, :K], truth)]
    for candidates in RANKED:
        alike = np.einsum("qd,qcd->qc", queries, stored[rows[:, :candidates]])
        best = np.take_along_axis(rows, np.argsort(-alike, axis=1)[:, :K], axis=1)
        shares.append(share(best, truth))
    told = " | ".join(f"{value:.3f}" for value in shares)
    return f"| {size} | {size * SIGHTINGS} | {name} | {told} |"


def share(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


def test_learnt_codes_beside_quantisers_of_the_same_size(data):
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    people = real_people(data("Market-1501-train"))
    learnt_from = people.vectors(LEARNT_FROM, seed=1).astype(np.float32)
    made = people.vectors(STORED + QUERIES * SIGHTINGS).astype(np.float32)
    asked = np.linspace(0, len(made) - 1, QUERIES).astype(int)
    queries, stored = made[asked], np.ascontiguousarray(np.delete(made, asked, axis=0)[:STORED])
    truth = faiss.knn(queries, stored, K, faiss.METRIC_INNER_PRODUCT)[1]
    began = time.process_time()
    lines = [
        f"| bytes a tracklet | a person of {SIGHTINGS} | code | recall@10 by the code alone |"
        + "".join(f" {count} candidates re-ranked exactly |" for count in RANKED),
        "|---|---|---|---|" + "---|" * len(RANKED),
    ]
    found = methods(learnt_from, np.arange(LEARNT_FROM) // SIGHTINGS)
    for name, (size, search) in found.items():
        rows = search(stored, queries, max(RANKED))
        lines.append(row(name, size, rows, stored, queries, truth))
    said = "\n".join(
        [
            *lines,
            "",
            f"{STORED:,} tracklets, {QUERIES} queries; learnt from {LEARNT_FROM:,} vectors of other"
            f" mixtures of the same real people, {time.process_time() - began:.0f} core-s in all."
            f" {people.made}.",
        ]
    )
    print(f"\n{said}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"{said}\n")
    assert "nested, 128" in said

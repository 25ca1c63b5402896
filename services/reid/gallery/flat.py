"""FAISS's flat indexes, and the memory in which they keep what was added, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from services.reid.gallery.gallery import DIMENSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.reid.gallery.codes import Codes
    from services.reid.gallery.columns import Mask
    from services.reid.gallery.gallery import Halves


def vector_index(count: int) -> faiss.IndexScalarQuantizer:
    """An exact index of float16 vectors, with room for so many, which are not written yet."""
    index = faiss.IndexScalarQuantizer(
        DIMENSIONS, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.codes.resize(count * 2 * DIMENSIONS)
    index.ntotal = count
    return index


def code_index(codes: Codes) -> Any:
    """A flat index of binary codes, (N, bytes)."""
    index: Any = faiss.IndexBinaryFlat(8 * codes.shape[1])
    # Counting sort: a heap is slower from some hundred candidates on.
    index.use_heap = False
    index.add(np.ascontiguousarray(codes))
    return index


def vectors_in(index: faiss.IndexScalarQuantizer) -> Halves:
    """(N, 256), a view that holds until the index changes."""
    return _view(index.codes, index.ntotal, 2 * DIMENSIONS).view("<f2")


def codes_in(index: Any) -> Codes:
    """(N, bytes), a view that holds until the index changes. index: of `code_index`."""
    return _view(index.xb, index.ntotal, index.d // 8)


def _view(memory: Any, rows: int, width: int) -> NDArray[np.uint8]:
    """FAISS's memory as (rows, width) bytes."""
    if rows == 0:
        return np.empty((0, width), np.uint8)
    flat = faiss.rev_swig_ptr(memory.data(), rows * width)
    return np.asarray(flat).reshape(rows, width)


def only_rows(admitted: Mask | None) -> Any:
    """What restricts a search to these rows; None for all."""
    if admitted is None:
        return None
    # Written in Python over the generated classes, which is all that a type checker sees.
    library: Any = faiss
    selector = library.IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
    return library.SearchParameters(sel=selector)

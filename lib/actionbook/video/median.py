"""The median of 5 x 5 pixels, compiled: the numbers of cv2.medianBlur in a third of its time.

The five pixels of every column of the window are sorted once for all five windows that share them. Of the 25 pixels
then only 13 can be the median: six are smaller than thirteen others at least, six are larger. The median of the 13 is
found by forgetting: of any eight of them the smallest and the largest are not the median, and so on with what is left.
"""

from __future__ import annotations

import numpy as np

from actionbook.video.compiled import Array, compiled, inlined

Values = tuple[np.float32, ...]
Value = np.float32


@inlined
def _order(a: Value, b: Value) -> Values:
    return (a if a < b else b), (b if a < b else a)


@inlined
def _sorted5(a: Value, b: Value, c: Value, d: Value, e: Value) -> Values:
    a, b = _order(a, b)
    d, e = _order(d, e)
    c, e = _order(c, e)
    c, d = _order(c, d)
    b, e = _order(b, e)
    a, d = _order(a, d)
    a, c = _order(a, c)
    b, d = _order(b, d)
    b, c = _order(b, c)
    return a, b, c, d, e


@inlined
def _smallest_first(a: Value, b: Value, c: Value, d: Value) -> Values:
    a, b = _order(a, b)
    c, d = _order(c, d)
    a, c = _order(a, c)
    return a, b, c, d


@inlined
def _largest_last(a: Value, b: Value, c: Value, d: Value) -> Values:
    a, b = _order(a, b)
    c, d = _order(c, d)
    b, d = _order(b, d)
    return a, b, c, d


@inlined
def _two_smallest_first(a: Value, b: Value, c: Value, d: Value, e: Value) -> Values:
    a, b, c, d = _smallest_first(a, b, c, d)
    a, e = _order(a, e)
    b, c, d, e = _smallest_first(b, c, d, e)
    return a, b, c, d, e


@inlined
def _two_largest_last(a: Value, b: Value, c: Value, d: Value, e: Value) -> Values:
    b, c, d, e = _largest_last(b, c, d, e)
    a, e = _order(a, e)
    a, b, c, d = _largest_last(a, b, c, d)
    return a, b, c, d, e


@inlined
def _inner7(a: Value, b: Value, c: Value, d: Value, e: Value, f: Value, g: Value) -> Values:  # noqa: PLR0917
    """All but the smallest and the largest."""
    a, b, c, d = _smallest_first(a, b, c, d)
    b, d = _order(b, d)
    e, f = _order(e, f)
    a, e = _order(a, e)
    d, f = _order(d, f)
    a, g = _order(a, g)
    g, f = _order(g, f)
    return b, c, d, e, g


@inlined
def _inner8(a: Value, b: Value, c: Value, d: Value, e: Value, f: Value, g: Value, h: Value) -> Values:  # noqa: PLR0917
    """All but the smallest and the largest."""
    a, b, c, d = _smallest_first(a, b, c, d)
    b, d = _order(b, d)
    e, f, g, h = _smallest_first(e, f, g, h)
    f, h = _order(f, h)
    a, e = _order(a, e)
    d, h = _order(d, h)
    return b, c, d, e, f, g


@compiled
def _sort_columns(  # noqa: PLR0917
    a: Array,
    b: Array,
    c: Array,
    d: Array,
    e: Array,
    rank0: Array,
    rank1: Array,
    rank2: Array,
    rank3: Array,
    rank4: Array,
) -> None:
    """Pixel by pixel the smallest of five rows into `rank0`, and so on to the largest into `rank4`."""
    for x in range(a.size):
        rank0[x], rank1[x], rank2[x], rank3[x], rank4[x] = _sorted5(a[x], b[x], c[x], d[x], e[x])


@inlined
def _window(row: Array, x: int) -> Values:
    return row[x], row[x + 1], row[x + 2], row[x + 3], row[x + 4]


@compiled
def _median_row(r0: Array, r1: Array, r2: Array, r3: Array, r4: Array, row: Array) -> None:  # noqa: PLR0917
    """One row of medians, from the ranks within the columns, which are four pixels longer."""
    for x in range(row.size):
        _, _, _, a, b = _two_largest_last(*_window(r0, x))
        _, _, c, d, e = _two_smallest_first(*_window(r1, x))
        _, f, g, h, _ = _sorted5(*_window(r2, x))
        i, j, k, _, _ = _two_largest_last(*_window(r3, x))
        m, n, _, _, _ = _two_smallest_first(*_window(r4, x))
        a, b, c, d, e, f = _inner8(a, b, c, d, e, f, g, h)
        a, b, c, d, e, f = _inner8(a, b, c, d, e, f, i, j)
        a, b, c, d, e, f = _inner8(a, b, c, d, e, f, k, m)
        a, b, c, d, e = _inner7(a, b, c, d, e, f, n)
        _, _, row[x], _, _ = _sorted5(a, b, c, d, e)


@compiled
def median5(image: Array, ranks: Array, found: Array) -> None:
    """Fill `found` (H, W) with the medians of `image` (H, W), whose edges are repeated beyond it.

    `ranks`, (5, W + 4), is overwritten. The three must not overlap, nor hold NaN.
    """
    last = image.shape[0] - 1
    for y in range(last + 1):
        _sort_columns(
            image[max(y - 2, 0)],
            image[max(y - 1, 0)],
            image[y],
            image[min(y + 1, last)],
            image[min(y + 2, last)],
            ranks[0, 2:-2],
            ranks[1, 2:-2],
            ranks[2, 2:-2],
            ranks[3, 2:-2],
            ranks[4, 2:-2],
        )
        for rank in range(5):
            ranks[rank, :2] = ranks[rank, 2]
            ranks[rank, -2:] = ranks[rank, -3]
        _median_row(ranks[0], ranks[1], ranks[2], ranks[3], ranks[4], found[y])

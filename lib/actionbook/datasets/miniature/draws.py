"""Random draws that the miniatures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actionbook.datasets.figures import Prop


def draw_props(rng: np.random.Generator, kinds: Sequence[str], pan: float, view: float) -> tuple[Prop, ...]:
    """No or one moving thing out of `kinds`, near an edge of the view (`view` units wide, moved by `pan`)."""
    props = []
    for kind in rng.permutation(kinds)[: int(rng.integers(0, 2))]:
        edge = view * (0.12 if rng.integers(2) else 0.88)
        colour = tuple(int(channel) for channel in rng.integers(90, 256, 3))
        props.append(
            Prop(
                kind=str(kind),
                x=pan + edge + rng.uniform(-22, 22),
                y=rng.uniform(26, 64),
                drift=rng.uniform(-0.6, 0.6),
                period=rng.uniform(22, 44),
                phase=float(rng.uniform()),
                colour=(colour[0], colour[1], colour[2]),
            )
        )
    return tuple(props)

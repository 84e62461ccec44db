"""Published networks by name: built, checked against their manifests, loaded, and returned with what they expect."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mindspore import Tensor, nn

from actionbook.core.manifest import load_dataset, load_weights, weights_manifests
from actionbook.core.sources import verify
from actionbook.core.spec import Spec
from actionbook.core.weight_files import Clips, TrainedOn, WeightFile, WeightsManifest
from actionbook.models import create_model
from actionbook.weights.errors import WeightsError
from actionbook.weights.layouts import get_layout
from actionbook.weights.loading import load
from actionbook.weights.reader import read, read_metadata
from actionbook.weights.report import LoadReport


@dataclass(frozen=True)
class Pretrained:
    """A published network, ready to be asked."""

    id: str
    network: nn.Cell
    """In evaluation mode; it takes clips as `spec` and `transform` say, colours in the order red, green, blue."""
    transform: Clips
    """How such a clip is made of frames: `actionbook.clips.transforms.tested_clip` does it, and where whole frames are
    tested (``test_size``) `actionbook.clips.whole_frames.whole_clip`."""
    trained_on: TrainedOn
    report: LoadReport
    """What became of every tensor, and the file's digest."""
    metadata: Mapping[str, str | int | float | bool | None]
    """What the file says of itself, such as epoch and accuracy."""
    spec: Spec

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the outputs in order; None where no manifest of the book holds them."""
        name = self.trained_on.manifest
        return None if name is None else load_dataset(name).classes


def list_pretrained(manifest: str | None = None) -> list[str]:
    """Names that `load_pretrained` knows, sorted: of all weights manifests of the book, or of the one called so.

    Files that fill only a part of a network (`Layout.part`) are none of them: a training begins with these.
    """
    return sorted(entry.id for _, entry in _entries(manifest))


def load_pretrained(name: str, folder: Path | str, manifest: str | None = None) -> Pretrained:
    """The published network called `name`, from its file in `folder` or below.

    `manifest` is a weights manifest, by name or as the path of a .yaml file; None: all that the book has.
    A file that was trained on colours in the order blue, green, red gets the channels of its first convolution turned
    round, so that the network takes the clips that the rest of the book makes.
    Raises WeightsError for a name that no manifest has, and for tensors that do not fit the network; BookError for a
    missing file, saying where it is had, and for one that is not the published one.
    """
    known = {entry.id: (book, entry) for book, entry in _entries(manifest)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(sorted(known))}"
        raise WeightsError(f"no published weights are called {name!r}{hint}")
    book, entry = known[name]
    path = book.find(entry, folder)
    options: dict[str, Any] = dict(entry.options)
    network = create_model(entry.network, **options)
    report = load_file(network, entry, path)
    transform = entry.transform
    if transform.channel_order == "bgr":
        _turn_round(network)
        turned = {"mean": transform.mean[::-1], "std": transform.std[::-1], "channel_order": "rgb"}
        transform = transform.model_copy(update=turned)
    return Pretrained(name, network, transform, entry.trained_on, report, read_metadata(path), entry.spec)


def load_file(network: nn.Cell, entry: WeightFile, path: Path, skip: Collection[str] = ()) -> LoadReport:
    """Check the file at `path` against its entry and put its tensors into `network`, as they are.

    `skip` names what keeps its initial values (see `actionbook.weights.load`). The report holds the file's digest; of a
    checkpoint in several files that is the index's, in which the checksums of the others' numbers are.
    Raises BookError for a file that is missing or another one, WeightsError for tensors that do not fit.
    """
    digest = verify(path, entry)
    return replace(load(network, read(path), entry.layout, skip=skip), sha256=digest)


def _entries(manifest: str | None) -> Iterator[tuple[WeightsManifest, WeightFile]]:
    for name in weights_manifests() if manifest is None else [manifest]:
        book = load_weights(name)
        yield from ((book, entry) for entry in book.files if not get_layout(entry.layout).part)


def _turn_round(network: nn.Cell) -> None:
    """Let the first convolution see its input channels in the opposite order."""
    first = next(parameter for parameter in network.get_parameters() if parameter.ndim > 2)
    first.set_data(Tensor(first.asnumpy()[:, ::-1].copy()))

"""The index: items and labels that survive their files, rules that both keep, and a digest of all that counts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.datasets.index import BOX, BOXES, ITEMS, LABELS, Index, make_index, read_index, write_index


def row(video: str, **changes: Any) -> dict[str, object]:
    label = {"label": "Wave", "target": 0, "subset": "train"}
    return {"video": video, **label, "path": f"UCF-101/{video}.avi", "frames": 40, **changes}


def keyframe(video: str, frame: int, target: int, *box: float, **changes: Any) -> dict[str, object]:
    """One label of one box of a keyframe, with a "/" in its class."""
    more = {"item": f"{video},{frame}", "frame": frame, "store": video, "label": f"hold/{target} (an object)"}
    return row(video, **{**more, "target": target, **dict(zip(BOX, box, strict=True)), **changes})


ONE, OTHER = (0.1, 0.2, 0.5, 1.0), (0.0, 0.25, 1.0, 0.75)
KEYFRAMES = [
    keyframe("v", 30, 4, *ONE),
    keyframe("v", 30, 7, *ONE),
    keyframe("v", 30, 4, *OTHER),
    keyframe("v", 60, 4, *ONE),
    keyframe("w", 30, 4, *ONE, subset="validation", frames=0),
]
# Names that CSV readers like to take for something else, and ones that shells do.
NAMES = ["007", "NA", "1e5", 'a,"b"', "行动#1(x;y)!", "null", "True", "-"]


@pytest.fixture
def index() -> Index:
    return make_index([row(name, subset="test" if i % 2 else "train") for i, name in enumerate(NAMES)])


def assert_equal(found: Index, expected: Index) -> None:
    pd.testing.assert_frame_equal(found.items, expected.items)
    pd.testing.assert_frame_equal(found.labels, expected.labels)
    assert found.sha256 == expected.sha256


def test_an_item_is_a_video_unless_more_is_said() -> None:
    index = make_index([row("a"), row("b", label="a/b", target=3, frames=0)])
    assert index.items.to_dict("records")[1] == {
        "item": "b", "video": "b", "frame": -1, "subset": "train", "path": "UCF-101/b.avi", "store": "b", "frames": 0,
    }  # fmt: skip
    assert index.labels[["item", "label", "target"]].to_numpy().tolist() == [["a", "Wave", 0], ["b", "a/b", 3]]
    assert index.labels[list(BOX)].isna().all(axis=None)
    assert index.items.dtypes.map(str).to_dict() == ITEMS
    assert index.labels.dtypes.map(str).to_dict() == LABELS
    assert (len(index), index.missing) == (2, ["b"])


def test_keyframes_of_a_video_share_its_store_and_have_labels_of_their_own() -> None:
    index = make_index(KEYFRAMES)
    assert index.items[["item", "frame", "store"]].to_numpy().tolist() == [
        ["v,30", 30, "v"], ["v,60", 60, "v"], ["w,30", 30, "w"],
    ]  # fmt: skip
    assert index.labels.groupby("item", sort=False).size().to_dict() == {"v,30": 3, "v,60": 1, "w,30": 1}
    assert index.videos.video.tolist() == ["v", "w"]
    train = index.subset("train")
    assert (train.items["item"].tolist(), len(train.labels)) == (["v,30", "v,60"], 4)
    assert (len(index.subset("validation")), len(index.of_subset("validation"))) == (0, 1)
    with pytest.raises(BookError, match=r"1 items have no class or several, .*: v,30; .* detection"):
        _ = train.table


def test_the_table_of_classification(index: Index) -> None:
    assert index.table.columns.tolist() == [*ITEMS, "label", "target"]
    assert index.table["item"].tolist() == NAMES
    numbered = make_index([row("a", target=2, label="c"), row("b", target=1, label="b")])
    assert numbered.truth.to_dict() == {"a": 2, "b": 1}
    backwards = Index(numbered.items[::-1].reset_index(drop=True), numbered.labels)
    assert backwards.table[["item", "target"]].to_numpy().tolist() == [["b", 1], ["a", 2]]
    with pytest.raises(BookError, match="1 items have no class or several"):
        _ = Index(numbered.items, numbered.labels[:1]).table


def test_subsets_are_renumbered_and_hold_prepared_items_only(index: Index) -> None:
    test = index.subset("test")
    assert test.items["item"].tolist() == NAMES[1::2]
    assert test.items.index.tolist() == test.labels.index.tolist() == [0, 1, 2, 3]
    assert len(index.subset("train")) + len(test) == len(index)
    partly = make_index([row("a"), row("b", frames=0, path=""), row("c", frames=0), row("d", frames=1)])
    assert partly.subset("train").items["item"].tolist() == ["a", "d"]
    assert len(partly.of_subset("train")) == 4
    assert partly.missing == ["b", "c"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a"), row("b"), row("b", subset="test")], "1 videos are listed twice: b$"),
        ([row("a"), row("a")], "1 videos are listed twice: a$"),
        ([*KEYFRAMES, KEYFRAMES[1]], "1 videos are listed twice: v,30$"),
        ([row("a"), row("a", subset="test", label="b", target=1)], "rows of one item disagree; found 'a'$"),
        ([row("a b")], "without white space; found 'a b'$"),
        ([row("a\u3000b"), row("c\n")], r"without white space; found 'a\\u3000b', 'c\\n'$"),
        ([row("a", item="")], "without white space; found ''$"),
        ([row("a", subset="val")], "subsets are train, test, validation; found 'val'$"),
        ([row("a", target=-1)], "class numbers count from 0.*; found 'a'$"),
        ([row("a", store="b"), row("c", store="b")], "a store of their own; found 'b'$"),
        ([KEYFRAMES[0], keyframe("v", 60, 1, *ONE, store="u")], "one store, path and number of frames; found 'v'$"),
        ([KEYFRAMES[0], keyframe("v", 60, 1, *ONE, frames=41)], "one store, path and number of frames; found 'v'$"),
        *[([row("a", store=store)], "stores are paths below a folder") for store in ("", "/a", "../a", "a/../b", "a/")],
        *[([keyframe("v", 1, 1, *box)], "boxes are shares") for box in (
            (0.5, 0, 0.4, 1), (0, 0.5, 1, 0.4), (-0.1, 0, 1, 1), (0, 0, 1.5, 1), (0, 0, 1, math.nan),
        )],
    ],
)  # fmt: skip
def test_rows_that_cannot_be(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(BookError, match=message):
        make_index(rows)


def test_several_classes_need_no_box() -> None:
    index = make_index([row("a"), row("a", label="b", target=1)])
    assert (len(index), index.labels.target.tolist()) == (1, [0, 1])


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6)
SHARE = st.floats(0, 1)


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    """Any index: items of some videos, each with no label or several, with and without boxes."""
    videos = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    of_video = [
        {"video": video, "store": f"{k}/{k}", "path": draw(TEXT | st.just("")), "frames": draw(st.integers(0, 99))}
        for k, video in enumerate(videos)
    ]
    ids = draw(st.lists(WORD, min_size=1, max_size=4, unique=True))
    items = [
        {"item": item, "frame": draw(st.integers(-1, 99)), "subset": draw(st.sampled_from(["train", "test"])),
         **draw(st.sampled_from(of_video))} for item in ids
    ]  # fmt: skip
    labels = []
    for item in ids:
        for target in draw(st.lists(st.integers(0, 9), max_size=3, unique=True)):
            sides = [sorted([draw(SHARE), draw(SHARE)]) for _ in range(2)]
            box = [sides[0][0], sides[1][0], sides[0][1], sides[1][1]] if draw(st.booleans()) else [math.nan] * 4
            label = {"item": item, "label": draw(TEXT), "target": target}
            labels.append({**label, **dict(zip(BOX, box, strict=True))})
    return Index(
        pd.DataFrame(items, columns=list(ITEMS)).astype(ITEMS),
        pd.DataFrame(labels, columns=list(LABELS)).astype(LABELS),
    )


@given(index=indexes())
def test_round_trip(index: Index, tmp_path_factory: pytest.TempPathFactory) -> None:
    stem = tmp_path_factory.mktemp("index") / "index-a.b-1"
    write_index(index, stem)
    assert_equal(read_index(stem), index)
    assert sorted(path.name for path in stem.parent.iterdir()) == ["index-a.b-1-items.csv", "index-a.b-1-labels.csv"]


@given(index=indexes(), data=st.data())
def test_the_digest_changes_with_all_that_counts_and_with_nothing_else(index: Index, data: st.DataObject) -> None:
    tables = {"items": index.items, "labels": index.labels}
    name = data.draw(st.sampled_from([name for name, table in tables.items() if len(table)]))
    table = tables[name]
    column = data.draw(st.sampled_from(list(table.columns)))
    place = data.draw(st.integers(0, len(table) - 1))
    old = table[column].iloc[place]
    new = f"{old}x" if isinstance(old, str) else 0.5 if old != 0.5 and column in BOX else old + 1
    changed = table.copy()
    changed.loc[place, column] = new
    other = Index(**{**tables, name: changed})
    assert (other.sha256 != index.sha256) == (column not in ("path", "store"))
    for which, whole in tables.items():  # one row less, and another order
        assert not len(whole) or Index(**{**tables, which: whole[1:]}).sha256 != index.sha256
        backwards = whole[::-1].reset_index(drop=True)
        assert (Index(**{**tables, which: backwards}).sha256 == index.sha256) == backwards.equals(whole)


@given(index=indexes())
def test_the_digest_is_that_of_the_tables_as_lists_in_canonical_json(index: Index) -> None:
    tables = {
        name: table.astype(object).where(table.notna(), None).to_numpy().tolist()
        for name, table in (("items", index.items.drop(columns=["path", "store"])), ("labels", index.labels))
    }
    assert index.sha256 == sha256_json(tables)
    found = pd.DataFrame([("a", 0.0, 0.25, 0.5, 1.0, 0.987654)], columns=list(BOXES))
    assert replace(index, boxes=found).sha256 == sha256_json({**tables, "boxes": found.to_numpy().tolist()})


TRUTH = [*KEYFRAMES[:2], keyframe("u", 30, 4, *OTHER), *KEYFRAMES[2:4], row("t"), row("t", label="b", target=7)]


def tested(*rows: dict[str, object]) -> Index:
    return make_index({**one, "subset": "test"} for one in rows)


def test_the_truth_is_a_list_of_labels_sorted_as_text() -> None:
    index = tested(keyframe("é", 2, 4, 0.100, 0, 0.200, 1), row("b"), row("a", label='"'))
    assert index.truth_sha256 == sha256_json(
        [
            ["a", '"', 0, None, None, None, None],
            ["b", "Wave", 0, None, None, None, None],
            ["é,2", "hold/4 (an object)", 4, 0.1, 0.0, 0.2, 1.0],
        ]
    )
    assert make_index([]).truth_sha256 == sha256_json([])


def test_the_truth_changes_with_each_label_box_and_item() -> None:
    truth = tested(*TRUTH).truth_sha256
    for place, one in enumerate(TRUTH):
        changes: list[dict[str, object]] = [{"label": "another"}, {"target": 9}]
        changes += [{side: 0.499 + (side in BOX[2:]) / 500} for side in BOX if side in one]
        changes += [{"item": f"{one['video']}-", "video": f"{one['video']}-", "store": "-"}]
        for change in changes:
            assert tested(*TRUTH[:place], {**one, **change}, *TRUTH[place + 1 :]).truth_sha256 != truth
        assert tested(*TRUTH[:place], *TRUTH[place + 1 :]).truth_sha256 != truth
    assert tested(*TRUTH, row("s")).truth_sha256 != truth
    swapped = tested(row("t", label="b", target=7), row("s"))
    assert swapped.truth_sha256 != tested(row("t"), row("s", label="b", target=7)).truth_sha256


def test_the_truth_is_one_for_lists_in_another_order_and_hangs_on_no_file_frame_or_training_item(
    tmp_path: Path,
) -> None:
    index = tested(*TRUTH)
    truth = index.truth_sha256
    assert tested(*reversed(TRUTH)).truth_sha256 == truth
    assert (
        tested(*({**one, "path": "", "store": f"x{one['video']}", "frames": 0} for one in TRUTH)).truth_sha256 == truth
    )
    test = [{**one, "subset": "test"} for one in TRUTH]
    assert make_index([row("r"), *test, row("s", subset="validation")]).truth_sha256 == truth
    found = pd.DataFrame([("t", 0.0, 0.0, 1.0, 1.0, 0.9)], columns=list(BOXES))
    assert replace(index, boxes=found).truth_sha256 == truth
    write_index(index, tmp_path / "index")
    assert read_index(tmp_path / "index").truth_sha256 == truth


def test_an_empty_index_has_the_columns(tmp_path: Path) -> None:
    write_index(make_index([]), tmp_path / "index")
    again = read_index(tmp_path / "index")
    assert (again.items.columns.tolist(), again.labels.columns.tolist()) == (list(ITEMS), list(LABELS))
    assert len(again) == len(again.subset("train")) == 0


ITEM_LINE, LABEL_LINE = "a,a,-1,train,p,s,9\n", "a,l,0,,,,\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("items", None), ("labels", None), ("items", ""), ("labels", "item,label\na,b\n"),
        ("items", f"{','.join(ITEMS)}\na,a,-1,train,p,s,many\n"),
        ("items", f"{','.join(reversed(ITEMS))}\n"),
        ("items", f"{','.join(ITEMS)}\n{ITEM_LINE}{ITEM_LINE.replace('train', 'test')}"),
        ("labels", f"{','.join(LABELS)}\na,l,x,,,,\n"),
        ("labels", f"{','.join(LABELS)}\n{LABEL_LINE}b{LABEL_LINE[1:]}"),
        ("labels", f"{','.join(LABELS)}\na,l,0,0.1,,,\n"),
    ],
    ids=["no items", "no labels", "empty", "columns missing", "no number", "another order", "an item twice",
         "no class number", "labels of another index", "half a box"],
)  # fmt: skip
def test_files_that_are_no_index(tmp_path: Path, file: str, text: str | None) -> None:
    texts = {
        "items": f"{','.join(ITEMS)}\n{ITEM_LINE}",
        "labels": f"{','.join(LABELS)}\n{LABEL_LINE}",
    }
    for name, good in texts.items():
        (tmp_path / f"index-{name}.csv").write_text(good)
    assert read_index(tmp_path / "index").truth.to_dict() == {"a": 0}
    path = tmp_path / f"index-{file}.csv"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(BookError, match=r"index-.*csv: .*run notebook 01_data again"):
        read_index(tmp_path / "index")

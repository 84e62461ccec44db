from __future__ import annotations

from itertools import pairwise

import pytest
import yaml

from actionbook.conversion.ascend_operators import DATA, AscendOperators, ascend_operators, soc_family
from actionbook.core.errors import BookError
from actionbook.core.schema import parse_yaml, validate

RELEASES = ("5.0.4", "6.0.1", "7.0", "8.0", "8.2")


def test_releases_map_to_lists_by_their_first_two_numbers():
    names = {
        "5.0": "5.0.4",
        "5.0.4": "5.0.4",
        "5.1.RC2": "5.0.4",
        "6.0.1": "6.0.1",
        "6.3.RC1": "6.0.1",
        "7.0.0": "7.0",
        "7.1.0.1.202": "7.0",
        "8.0.RC1": "8.0",
        "8.0.RC1.alpha001": "8.0",
        "8.1.RC1": "8.0",
        "8.2.RC1": "8.2",
        "8.5.0": "8.2",
        "9.1": "8.2",
    }
    assert {cann: ascend_operators().release_of(cann) for cann in names} == names
    for cann in ("4.9", "10.0", "8", "CANN 8.0", "8.0-RC1", ""):
        with pytest.raises(BookError, match=r"lists: 5\.0\.4 .*, 6\.0\.1 .*, 7\.0 .*, 8\.0 .*, 8\.2"):
            ascend_operators().release_of(cann)


def test_families_of_chips():
    names = {
        "Ascend310": "310",
        "Ascend310B4": "310B",
        "Ascend310P3": "310P",
        "Ascend310P3_vir04": "310P",
        "Ascend910A": "910",
        "Ascend910ProA": "910",
        "Ascend910B": "910",
        "Ascend910ProB": "910",
        "Ascend910PremiumA": "910",
        "Ascend910B1": "A2",
        "Ascend910B2C": "A2",
        "Ascend910B4-1": "A2",
        "Ascend910_9391": "A3",
        "Ascend950PR": "950",
    }
    assert {soc: soc_family(soc) for soc in names} == names
    with pytest.raises(BookError, match="did you mean 'Ascend310P3'"):
        soc_family("310P3")
    for name in ("Ascend910", "Ascend", "Ascend310P", "Ascend910C", "Ascend310 "):
        with pytest.raises(BookError, match="npu-smi info"):
            soc_family(name)


def test_every_list_has_its_size():
    facts = ascend_operators()
    lists = {name: facts.accepted(name) for name in facts.releases}
    assert {name: len(found) for name, found in lists.items()} == dict(
        zip(RELEASES, (155, 148, 148, 160, 215), strict=True)
    )
    # The documented list of 8.0 and the plugins of the later repositories agree but for these.
    assert set(lists["8.0"]) - set(lists["8.2"]) == {"EmbeddingBag", "TfIdfVectorizer"}
    spans = sorted((release.since, release.before) for release in facts.releases.values())
    assert all(first[1] == second[0] for first, second in pairwise(spans))


def spoiled(data: dict, change: str) -> dict:
    if change == "typo":
        data["ranges"][0]["limts"] = {}
    elif change == "release":
        data["auto_pad"][0]["releases"] = ["5.0.5"]
    elif change == "family":
        data["pools"][0]["families"] = ["310X"]
    elif change == "twice":
        data["releases"]["8.0"]["operators"]["names"].append("Relu")
    elif change == "opsets":
        data["releases"]["8.2"]["operators"]["opsets"]["18-8"] = ["Foo"]
    elif change == "stated":
        data["releases"]["8.0"]["opsets"]["stated"] = [7, 15]
    elif change == "pattern":
        data["families"]["310"]["pattern"] = "Ascend311"
    elif change == "both":
        data["releases"]["5.0.4"]["operators"]["names"] = ["Relu"]
    elif change == "source":
        del data["ranges"][0]["source"]
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("typo", "unknown key 'ranges.0.limts'; did you mean 'limits'"),
        ("release", "named but not described: 5.0.5"),
        ("family", "named but not described: 310X"),
        ("twice", "operators listed twice: Relu"),
        ("opsets", "opsets '18-8'"),
        ("stated", "must lie within"),
        ("pattern", "does not fit Ascend310"),
        ("both", "or same_as another release"),
        ("source", "key 'ranges.0.source' is missing"),
    ],
)
def test_data_that_is_wrong_is_refused(change, message):
    text = yaml.safe_dump(spoiled(parse_yaml(DATA.read_text("utf-8"), "data"), change), sort_keys=False)
    with pytest.raises(BookError, match=r"operators\.yaml: ") as error:
        validate(AscendOperators, parse_yaml(text, "data"), "operators.yaml")
    assert message in str(error.value)

from __future__ import annotations

from itertools import pairwise

import pytest

from actionbook.conversion.ascend_operators import DATA, AscendOperators, ascend_operators, soc_family
from actionbook.core.errors import BookError
from actionbook.core.schema import read_yaml, validate

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["ranges"][0].update(limts={}), "unknown key 'ranges.0.limts'; did you mean 'limits'"),
        (lambda data: data["auto_pad"][0].update(releases=["5.0.5"]), "named but not described: 5.0.5"),
        (lambda data: data["pools"][0].update(families=["310X"]), "named but not described: 310X"),
        (lambda data: operators(data, "8.0")["names"].append("Relu"), "operators listed twice: Relu"),
        (lambda data: operators(data, "8.2")["opsets"].update({"18-8": ["Foo"]}), "opsets '18-8'"),
        (lambda data: data["releases"]["8.0"]["opsets"].update(stated=[7, 15]), "must lie within"),
        (lambda data: data["families"]["310"].update(pattern="Ascend311"), "does not fit Ascend310"),
        (lambda data: operators(data, "5.0.4").update(names=["Relu"]), "or same_as another release"),
        (lambda data: data["ranges"][0].pop("source"), "key 'ranges.0.source' is missing"),
    ],
)
def test_data_that_is_wrong_is_refused(change, message):
    data = read_yaml(DATA)
    change(data)
    with pytest.raises(BookError, match=r"operators\.yaml: ") as error:
        validate(AscendOperators, data, "operators.yaml")
    assert message in str(error.value)


def operators(data: dict, release: str) -> dict:
    return data["releases"][release]["operators"]

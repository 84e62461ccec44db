"""Markdown tables for the page on the Ascend tool chain, from the data that preflight and ATC's messages come from.

The data and the sources of every line are in ``atc_codes.yaml`` and ``ascend_operators.yaml`` (folder conversion).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from actionbook.conversion.ascend_operators import AscendOperators, Range, Rule, ascend_operators
from actionbook.conversion.atc_codes import CODES, KILLED, Codes, Entry
from actionbook.core.schema import load
from actionbook.results.markdown import escape, table

# The codes that an export of this library can meet; the others follow in a fold.
COMMON = (
    *("E10001", "E10016", "E10041", "E10049", "E11005", "E16002", "E76002", "E16005", "E19010", "E19999"),
    *("EZ3002", "EZ3003", "EZ9999", "EC0010", "E40020", KILLED),
)
_CODE = re.compile(  # what is shown as code
    "|".join(
        [
            r"`[^`]+`",
            r"--\w+(?:=[\w/.]*[\w/])?",  # options, with or without a value
            r'\b\w+="\w+"',  # arguments in Python
            r"\b[\w.]+\(\.\.\.\)[\w.]*\w",  # calls
            r"(?<!\w)[\w./]*\w_\w+(?:[./]\w+)*(?:\(\))?(?:=\w+)?",  # names with an underscore: set_env.sh
            r"(?<!\w)/\w[\w./]+\w",  # paths
            r"\b\w+(?::\w+(?:,\w+)+)|hicann/[\w-]+|\bfolder/name|\bnumpy<2|\.om\b|\bgroup > 1",
        ]
    )
)
_AXES = {"all": "", "depth": "along the depth: ", "plane": "along height and width: "}
_NAMES = {"strides": "stride", "dilations": "dilation", "kernel_shape": "kernel", "pads": "pad", "width": "input width"}
_TENSOR = {2: "4-D", 3: "5-D"}  # by the spatial axes of the kernel


def codes_page() -> str:
    """Markdown of ATC's error codes: the common ones in a table, all others in a folded one, then their sources.

    Codes with the same meaning, cause and remedy share a row. What has a name instead of a code stands in italics.
    """
    data = load(Codes, CODES)
    common = [entry for entry in data.entries if _key(entry) in COMMON]
    others = [entry for entry in data.entries if _key(entry) not in COMMON]
    sources = "".join(f"- {name}: {prose(text)}\n" for name, text in data.sources.items())
    fold = f"::::{{dropdown}} The other codes\n{_codes(others)}::::\n"
    return "\n".join([_codes(common), fold, f"Sources of both tables:\n\n{sources}"])


def opsets_page() -> str:
    """Markdown of the ONNX operator sets that each CANN release takes."""
    data = ascend_operators()
    rows = []
    for name, release in data.releases.items():
        stated, mentioned = release.opsets.stated, release.opsets.mentioned
        rows.append([_releases(data, [name]), _span(stated), _span(mentioned), prose(release.opsets.source)])
    return table(["CANN", "Promised", "Mentioned", "Where"], rows)


def operators_page() -> str:
    """Markdown of the limits of single operators on clips, and of grouped 3-D convolutions chip by chip."""
    data = ascend_operators()
    sources: dict[str, int] = {}

    def line(rule: Rule, operators: str, taken: str, *reasons: str) -> list[str]:
        why = "; ".join(map(prose, reasons))
        number = sources.setdefault(rule.source, len(sources) + 1)
        where = f", CANN {_releases(data, rule.releases)}" if rule.releases else ""
        return [f"{operators}{where}", taken, f"**{rule.otherwise}**{f': {why}' if why else ''} ({number})"]

    rows = [line(rule, *_range(rule)) for rule in data.ranges if rule.windows == 3]
    for pad in data.auto_pad:
        accepted = ", ".join(f"`{value}`" for value in pad.accepted)
        rows.append(line(pad, f"5-D {_names(pad)}", f"`auto_pad` {accepted}", pad.effect))
    for pool in data.pools:
        rows.append([f"5-D `{pool.operator}`", f"not on {', '.join(pool.families)}", f"**risky**: {prose(pool.why)}"])
    for rank in data.ranks:
        least, most = rank.accepted
        taken = f"{least} to {most} axes" if least else f"at most {most} axes"
        rows.append(line(rank, _names(rank), taken, rank.why, rank.remedy))
    rows += [line(rule, *_range(rule)) for rule in data.ranges if rule.windows == 2]
    limit, number = data.max_pool, sources.setdefault(data.max_pool.source, len(sources) + 1)
    taken = f"window of at most {limit.kernel_product} places, stride at most {limit.stride}"
    effect = f"**risky**: runs on the AI CPU, slowly; not so on {', '.join(limit.exempt)} ({number})"
    rows.append(["4-D `MaxPool`", taken, effect])
    numbered = "".join(f"{number}. {prose(source)}\n" for source, number in sources.items())
    chips = [
        [name, ", ".join(f"`{example}`" for example in family.examples), prose(family.conv3d_groups)]
        for name, family in data.families.items()
    ]
    groups = table(["Chips", "`--soc_version`, for example", "5-D `Conv` with `group > 1`"], chips)
    limits = table(["Operator", "Taken", "Otherwise (source)"], rows)
    return f"{limits}\n::::{{dropdown}} Sources of the limits\n{numbered}::::\n\n{groups}"


def pages() -> dict[str, str]:
    """File name -> Markdown, for the folder of generated pages."""
    return {
        "ascend_codes.md": codes_page(),
        "ascend_opsets.md": opsets_page(),
        "ascend_operators.md": operators_page(),
    }


def prose(text: str) -> str:
    """Plain text as Markdown: escaped, with options, paths and names from code set as code."""
    parts: list[str] = []
    end = 0
    for match in _CODE.finditer(text):
        parts += [escape(text[end : match.start()]), f"`{match[0].strip('`')}`"]
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def _key(entry: Entry) -> str:
    return str(entry.code or entry.name)


def _codes(entries: Iterable[Entry]) -> str:
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.meaning, entry.cause, entry.remedy), []).append(entry)
    rows = []
    for texts, found in groups.items():
        meaning, cause, remedy = map(prose, texts)
        codes = ", ".join(f"**{entry.code}**" if entry.code else f"*{_key(entry)}*" for entry in found)
        sources = ", ".join(dict.fromkeys(entry.source for entry in found))
        rows.append([codes, f"{meaning} {cause}", f"{remedy} ({sources})"])
    return table(["Code", "Meaning, and the usual cause", "What to do (source)"], rows)


def _range(rule: Range) -> tuple[str, str]:
    """Operators, and the values that they take."""
    values = [f"{_NAMES[value]} {_span(span)}" for value, span in rule.limits.items()]
    return f"{_TENSOR[rule.windows]} {_names(rule)}", f"{_AXES[rule.axes]}{', '.join(values)}"


def _names(rule: Rule) -> str:
    return ", ".join(f"`{name}`" for name in rule.operators)


def _span(span: tuple[int, int]) -> str:
    return f"{span[0]} to {span[1]}" if span[0] != span[1] else f"{span[0]}"


def _releases(data: AscendOperators, names: Sequence[str]) -> str:
    """Neighbouring releases as one span: "5.0 to 8.1" or "5.x"."""
    (first, minor), (end, past) = data.releases[names[0]].since, data.releases[names[-1]].before
    if minor == past == 0 and end == first + 1:
        return f"{first}.x"
    return f"{first}.{minor} to {f'{end}.{past - 1}' if past else f'{end - 1}.x'}"

#!/usr/bin/env python3
"""Checks what `make dist` has made of a program.

    check_dist.py PROGRAM     beside which its other files are

The list of parts is valid CycloneDX; it names the same packages in the same versions as the licences do, which another tool has
gathered; every part has a licence and is needed by another; every part has a text; nothing says where it was made.
"""

import json
import re
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

RULE = "=" * 80


def beside(program, ending):
    return Path(f"{program}.{ending}").read_text()


def main():
    program = sys.argv[1]
    text = beside(program, "cdx.json")
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    assert problem is None, problem
    bom = json.loads(text)

    root = bom["metadata"]["component"]["bom-ref"]
    parts = {part["bom-ref"]: part for part in bom["components"]}
    assert len(parts) == len(bom["components"]), "a part is there twice"
    bare = [part["name"] for part in parts.values() if not part.get("licenses")]
    assert not bare, f"without a licence: {bare}"
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in bom["dependencies"]}
    reached, more = set(), [root]
    while more:
        ref = more.pop()
        if ref not in reached:
            reached.add(ref)
            more += edges.get(ref, [])
    assert reached == {root, *parts}, f"needed by nobody, or not there: {reached ^ {root, *parts}}"

    assert "file:" not in text and "/home/" not in text and str(Path.cwd()) not in text
    packages = {(part["name"], part["version"]) for part in parts.values() if part["purl"].startswith("pkg:cargo/")}
    others = {part["name"] for part in parts.values() if not part["purl"].startswith("pkg:cargo/")}
    assert others in ({"std", "glibc"}, {"std", "musl"}), others
    licences = beside(program, "licences.txt")
    heading, *sections = licences.split(RULE)
    own = bom["metadata"]["component"]
    named = set(re.findall(r"^(\S+) (\d\S*): ", heading, re.MULTILINE)) - {(own["name"], own["version"])}
    assert named == packages, f"in one list only: {named ^ packages}"
    texts, headings = set(), []
    for section in sections:
        uses, _, body = section.partition("-" * 80)
        if len(body.strip()) > 200:
            headings.append(uses.strip())
            texts |= set(re.findall(r"^  (\S+) (\d\S*)", uses, re.MULTILINE))
    assert packages <= texts, f"without a text: {packages - texts}"
    for title in ("the Rust standard library ", "the C library musl" if "musl" in others else "the GNU C library "):
        assert any(heading.startswith(title) for heading in headings), f"without a text: {title}"
    print(f"{len(packages)} packages, {len(others)} other parts, {len(licences)} characters of licences")


main()

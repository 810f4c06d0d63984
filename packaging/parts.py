#!/usr/bin/env python3
"""Makes lists of what is in the static program out of what two tools have gathered of its packages.

    parts.py licences HOST <JSON of cargo-about       the licences, as text
    parts.py sbom HOST <SBOM of cargo-cyclonedx       the list of parts (CycloneDX, JSON)

Both tools also have packages that only build or test the program: procedural macros, and with cargo-cyclonedx what features of
dependencies for tests bring along. They are left out. Neither tool knows what is no package: Rust's standard library and the C
library, which are in a static program, too.
"""

import json
import os
import platform
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

RULE, DASHES = "=" * 80, "-" * 80


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def packages(host):
    """Names and versions of the packages that are linked into the program, its own among them."""
    kinds = "normal,no-proc-macro"
    tree = output(
        "cargo", "tree", "--frozen", "--target", host, "--edges", kinds, "--prefix", "none", "--no-dedupe", "--format", "{p}"
    )
    return {tuple(line.split()[:2]) for line in tree.replace(" v", " ").splitlines()}


def standard_library():
    version = output("rustc", "--version").split()[1]
    return {
        "name": "std",
        "title": f"the Rust standard library {version}",
        "version": version,
        "licence": "MIT OR Apache-2.0",
        "site": "https://github.com/rust-lang/rust",
        "purl": f"pkg:generic/rust-std@{version}",
        "texts": [Path(output("rustc", "--print", "sysroot"), "share/doc/rust/COPYRIGHT-library.html")],
    }


def debian_package(of):
    """A package of Debian or what descends from it, as a purl with the version that its advisories speak of."""
    try:
        said = output("dpkg-query", "--show", "--showformat=${source:Package} ${source:Version}", of)
    except (OSError, subprocess.CalledProcessError):
        return None
    source, version = said.split()
    system = platform.freedesktop_os_release()
    distro = f"{system['ID']}-{system['VERSION_ID']}" if "VERSION_ID" in system else system["ID"]
    return f"pkg:deb/{system['ID']}/{source}@{version.replace('+', '%2B')}?distro={distro}"


def c_library(host):
    if "musl" in host:
        return {
            "name": "musl",
            "title": "the C library musl",
            "licence": "MIT",
            "site": "https://musl.libc.org",
            "purl": "pkg:generic/musl",
            "texts": [
                Path("/usr/share/licenses/musl/COPYRIGHT"),
                Path("/usr/share/doc/musl/copyright"),
                Path("/usr/share/doc/musl-dev/copyright"),
            ],
        }
    version = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    return {
        "name": "glibc",
        "title": f"the GNU C library {version}",
        "version": version,
        "licence": "LGPL-2.1-or-later",
        "site": "https://www.gnu.org/software/libc/",
        "purl": debian_package("libc6-dev") or f"pkg:generic/glibc@{version}",
        "cpe": f"cpe:2.3:a:gnu:glibc:{version}:*:*:*:*:*:*:*",
        "texts": [Path("/usr/share/common-licenses/LGPL-2.1"), Path("/usr/share/licenses/glibc/COPYING.LIB")],
    }


class Words(HTMLParser):
    """The text of a page."""

    def __init__(self, page):
        super().__init__()
        self.lines = []
        self.feed(page)

    def handle_data(self, data):
        self.lines += (line.rstrip() for line in data.splitlines() if line.strip())


def text_of(path):
    text = path.read_text()
    return "\n".join(Words(text).lines) if path.suffix == ".html" else text


def licence_of(part):
    """The text that comes with a part that is no package: of the places where systems have it, the first that there is."""
    for path in part["texts"]:
        if path.is_file() and (text := text_of(path)).strip():
            return text
    places = ", ".join(map(str, part["texts"]))
    sys.exit(f"parts.py: no licence text of {part['title']}: none of these files has one: {places}")


def own_files(package):
    """The licences and notices that a package brings along, as they are."""
    folder = Path(package["manifest_path"]).parent
    found = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [path for path in found if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"))]


def licences(linked, runtime, about):
    ours = [entry for entry in about["crates"] if of(entry["package"]) in linked]
    print("Licences of what is in chat-room\n")
    for entry in ours:
        package = entry["package"]
        print(f"{package['name']} {package['version']}: {entry['license']}  {package['repository'] or ''}".rstrip())
    for part in runtime:
        print(f"{part['title']}: {part['licence']}  {part['site']}")
    print("\nThe libraries are linked statically. Who wants another one builds the program anew, by packaging/static.sh.")

    apart = {}
    for text in about["licenses"]:
        users = [user["crate"] for user in text["used_by"] if of(user["crate"]) in linked]
        if not users:
            continue
        section(f"{text['name']} ({text['id']}), for", *("  " + " ".join(of(user)) for user in users), body=text["text"])
        for user in users:
            # A notice is to be kept; and where the text is a general one, there may be files that were not understood.
            files = own_files(user)
            kept = [path for path in files if path.name.upper().startswith("NOTICE") or not text["source_path"]]
            for path in kept:
                apart.setdefault(path.read_text(), {})[path] = f"{path.name} of {' '.join(of(user))}"
    for body, files in sorted(apart.items(), key=lambda entry: min(entry[1])):
        section(*sorted(files.values()), body=body)
    for part in runtime:
        section(part["title"], body=licence_of(part))


def of(package):
    return package["name"], package["version"]


def section(*heading, body):
    print(RULE, *heading, DASHES, body.rstrip(), "", sep="\n")


def sbom(linked, runtime, bom):
    root = bom["metadata"]["component"]
    # Where it was built is nobody's business, and would make it another list on another machine.
    here, root["bom-ref"] = root["bom-ref"], f"pkg:cargo/{root['name']}@{root['version']}"
    root["purl"] = root["bom-ref"]
    root.pop("components", None)

    bom["components"] = [part for part in bom["components"] if of(part) in linked]
    kept = {part["bom-ref"] for part in bom["components"]}
    edges = {here: [part["purl"] for part in runtime]}
    for edge in bom["dependencies"]:
        if edge["ref"] in kept | {here}:
            needs = (ref for ref in edge.get("dependsOn", []) if ref in kept)
            edges[edge["ref"]] = [*needs, *edges.get(edge["ref"], [])]
    for part in runtime:
        component = {
            "type": "library",
            "bom-ref": part["purl"],
            "name": part["name"],
            "scope": "required",
            "licenses": [{"expression": part["licence"]}],
            "purl": part["purl"],
            "externalReferences": [{"type": "website", "url": part["site"]}],
        }
        bom["components"].append(component | {key: part[key] for key in ("version", "cpe") if key in part})
        edges[part["purl"]] = []
    edges[root["bom-ref"]] = edges.pop(here)
    bom["dependencies"] = [{"ref": ref, "dependsOn": needs} for ref, needs in edges.items()]
    json.dump(bom, sys.stdout, indent=2, ensure_ascii=False)
    print()


def main():
    what, host = sys.argv[1:]
    runtime = [standard_library(), c_library(host)]
    {"licences": licences, "sbom": sbom}[what](packages(host), runtime, json.load(sys.stdin))


main()

"""The tree in docs/architecture.md is that of the package."""

from __future__ import annotations

import re

from tests.kit.docs import DOCS

PACKAGE = DOCS.parent / "trio_supervisor"


def test_the_tree_has_every_package_once() -> None:
    (tree,) = re.findall(
        r"^```\n(trio_supervisor/\n.*?)^```$",
        (DOCS / "architecture.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    named: list[str] = []
    above: list[str] = []
    for line in tree.splitlines()[1:]:
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        above[depth:] = [name.rstrip("/")]
        path = PACKAGE.joinpath(*above)
        assert path.is_dir() if name.endswith("/") else path.is_file(), line
        if name.endswith("/"):
            named.append("/".join(above))
    packages = [path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")]
    assert sorted(named) == sorted(str(path) for path in packages if path.parts)

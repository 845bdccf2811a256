"""Nodes and controllers, in a directory that looks like a cgroup."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from trio_supervisor.core.config.limits import Limits
from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.runtime.cgroups.subtree import Subtree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def subtree(tmp_path: Path) -> Iterator[Subtree]:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory\n")
    (tmp_path / "cgroup.subtree_control").touch()
    made = Subtree(str(tmp_path), os.open(tmp_path, os.O_RDONLY))
    yield made
    made.close()


@pytest.mark.behaviour("policies.md#limits-of-cgroups")
def test_a_node_gets_the_limits_whose_controllers_work(subtree: Subtree, tmp_path: Path) -> None:
    assert subtree.controllers == {"memory"}
    limits = Limits(memory_max=2**20, cpu_max=0.5, pids_max=5)
    assert subtree.lacking(limits) == {"pids": f"{tmp_path} has no controller pids"}
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    (tmp_path / "p_g_x").mkdir()
    (tmp_path / "p_g_x" / "memory.oom.group").touch()
    subtree.node_of(ProcessConfig("x", "y", limits=limits), "g").prepare()
    files = {path.name: path.read_text() for path in (tmp_path / "p_g_x").iterdir()}
    assert files == {
        "memory.high": "max",
        "memory.max": "1048576",
        "memory.oom.group": "1",
        "cpu.max": "50000 100000",
    }


@pytest.mark.behaviour("policies.md#limits-of-cgroups")
def test_a_controller_that_cannot_be_passed_on(subtree: Subtree, tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").unlink()
    (tmp_path / "cgroup.subtree_control").mkdir()
    [why] = subtree.lacking(Limits(cpu_max=1)).values()
    assert why == f"{tmp_path} cannot pass on the controller cpu: Is a directory"


@pytest.mark.behaviour("policies.md#nodes-of-programs")
def test_a_node_that_cannot_be_prepared_names_the_file(subtree: Subtree, tmp_path: Path) -> None:
    (tmp_path / "p_x_x" / "memory.max").mkdir(parents=True)
    node = subtree.node_of(ProcessConfig("x", "y", limits=Limits(memory_max=1)), "x")
    with pytest.raises(IsADirectoryError) as caught:
        node.prepare()
    assert caught.value.filename == f"{tmp_path}/p_x_x/memory.max"

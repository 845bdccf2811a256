"""Every block of the README and the manual is run by a test, or has a reason why it cannot be.

A test that runs the blocks of a language on a page is named here.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter

import pytest

from tests.kit.docs import DOCS

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

#: Page and language -> the module in ``tests``, and the test, that runs all blocks.
RUN: dict[tuple[str, str], str] = {
    ("README.md", "sh"): "docs.test_installation:test_the_readme",
    ("README.md", "ini"): "docs.test_readme:test_the_first_configuration_runs",
    ("README.md", "console"): "docs.test_readme:test_the_check_of_a_broken_configuration",
    ("README.md", "python"): "docs.test_readme:test_the_embedding",
    ("docs/api.md", "console"): "web.api.test_page:test_the_examples",
    ("docs/api.md", "ini"): "web.api.test_page:test_the_examples",
    ("docs/architecture.md", ""): "docs.test_architecture:test_the_tree_has_every_package_once",
    (
        "docs/architecture.md",
        "mermaid",
    ): "core.process.test_states:test_the_documented_diagram_is_made_from_the_table",
    ("docs/containers.md", "ini"): "docs.test_containers:test_the_container",
    ("docs/containers.md", "dockerfile"): "docs.test_containers:test_the_container",
    ("docs/embedding.md", "python"): "docs.test_embedding:test_example",
    ("docs/embedding.md", "text"): "docs.test_embedding:test_example",
    ("docs/events.md", "event"): "test_docs_events:test_the_example_of",
    ("docs/events.md", "console"): "docs.test_sessions:test_events_of_a_listener",
    ("docs/events.md", "ini"): "docs.test_sessions:test_events_of_a_listener",
    (
        "docs/events.md",
        "python",
    ): "end_to_end.test_listeners:test_the_listener_of_the_page_for_production",
    (
        "docs/events.md",
        "sh",
    ): "end_to_end.test_listeners:test_listeners_in_any_language_stay_in_step",
    (
        "docs/events.md",
        "perl",
    ): "end_to_end.test_listeners:test_listeners_in_any_language_stay_in_step",
    ("docs/expansions.md", "ini"): "docs.test_manual:test_the_configurations_load",
    ("docs/expansions.md", "console"): "docs.test_manual:test_the_commands_of_a_running_daemon",
    ("docs/fastcgi.md", "ini"): "docs.test_manual:test_the_configurations_load",
    ("docs/fastcgi.md", "nginx"): "docs.test_sessions:test_a_fastcgi_program_behind_nginx",
    ("docs/groups.md", "ini"): "docs.test_manual:test_the_configurations_load",
    ("docs/installation.md", "sh"): "docs.test_installation:test_the_installation_guide",
    ("docs/installation.md", "ini"): "docs.test_installation:test_the_installation_guide",
    ("docs/installation.md", "text"): "docs.test_installation:test_the_installation_guide",
    ("docs/installation.md", "console"): "docs.test_installation:test_the_installation_guide",
    ("docs/library.md", "python"): "docs.test_embedding:test_example",
    ("docs/library.md", "text"): "docs.test_embedding:test_example",
    (
        "docs/logging.md",
        "ini",
    ): "docs.test_ctl_recipes:test_configurations_of_the_page_about_logging_load",
    ("docs/logging.md", "console"): "docs.test_logging:test_the_commands",
    ("docs/logging.md", "sh"): "docs.test_logging:test_the_lines_of_a_log_by_curl",
    ("docs/logging.md", "text"): "docs.test_logging:test_the_lines",
    ("docs/metrics.md", "yaml"): "docs.test_sessions:test_the_alert_rules_use_metrics_that_exist",
    ("docs/migration.md", "text"): "docs.test_manual:test_conversions_and_exports",
    ("docs/migration.md", "console"): "docs.test_manual:test_conversions_and_exports",
    ("docs/migration.md", "ini"): "docs.test_manual:test_conversions_and_exports",
    ("docs/migration.md", "sh"): "docs.test_manual:test_conversions_and_exports",
    ("docs/plugins.md", "python"): "docs.test_manual:test_the_plugins",
    ("docs/plugins.md", "ini"): "docs.test_manual:test_the_plugins",
    ("docs/plugins.md", "console"): "docs.test_manual:test_the_plugins",
    ("docs/policies.md", "ini"): "docs.test_policies:test_an_example_is_right",
    ("docs/policies.md", "console"): "docs.test_policies_sessions:test_every_session_is_tested",
    ("docs/sections.md", "ini"): "docs.test_manual:test_the_configurations_load",
    ("docs/security.md", "ini"): "docs.test_sessions:test_security",
    ("docs/security.md", "console"): "docs.test_sessions:test_security",
    ("docs/signals.md", "sh"): "docs.test_sessions:test_reload_by_signal",
    ("docs/states.md", "ini"): "docs.test_manual:test_the_commands_of_a_running_daemon",
    ("docs/states.md", "console"): "docs.test_manual:test_the_commands_of_a_running_daemon",
    ("docs/switching.md", "console"): "docs.test_sessions:test_another_name_of_the_daemon",
    ("docs/testing.md", "python"): "docs.test_embedding:test_the_page_about_tests",
    ("docs/troubleshooting.md", "console"): "docs.test_sessions:test_troubleshooting",
    ("docs/tsupervisorctl-recipes.md", "console"): "docs.test_sessions:test_the_recipes",
    ("docs/tsupervisorctl-recipes.md", "sh"): "docs.test_sessions:test_completion_is_loaded",
    ("docs/watching.md", "ini"): "docs.test_watching:test_the_examples",
    ("docs/watching.md", "console"): "docs.test_watching:test_the_examples",
    ("docs/watching.md", "text"): "docs.test_watching:test_the_examples",
    ("docs/watching.md", "sh"): "docs.test_sessions:test_a_command_for_each_event",
    ("docs/web.md", "ini"): "docs.test_sessions:test_requests_without_a_browser",
    ("docs/web.md", "console"): "docs.test_sessions:test_requests_without_a_browser",
    (
        "docs/web.md",
        "nginx",
    ): "browser.test_nginx:test_with_a_password_everything_works_whatever_the_host",
    ("docs/web.md", "caddyfile"): "docs.test_sessions:test_behind_caddy",
    ("docs/xml-rpc.md", "ini"): "docs.test_xml_rpc:test_the_clients_print_what_is_shown",
    ("docs/xml-rpc.md", "python"): "docs.test_xml_rpc:test_the_clients_print_what_is_shown",
    ("docs/xml-rpc.md", "text"): "docs.test_xml_rpc:test_the_clients_print_what_is_shown",
    ("docs/xml-rpc.md", "console"): "docs.test_xml_rpc:test_the_clients_print_what_is_shown",
    ("docs/xml-rpc.md", "php"): "docs.test_xml_rpc:test_the_clients_print_what_is_shown",
}

#: Of these the test takes single blocks, so a new one may be overlooked -> the number of blocks.
SELECTED = {
    ("README.md", "console"): 2,
    ("README.md", "ini"): 2,
    ("docs/events.md", "console"): 3,
    ("docs/events.md", "python"): 3,
    ("docs/watching.md", "text"): 3,
}
#: Page and language -> why no test runs the blocks.
NOT_RUN = {
    ("docs/logging.md", "yaml"): "configurations of log shippers, which no test installs",
    ("docs/upgrade.md", "sh"): "pip; tests/end_to_end/test_upgrade.py runs the other command",
    ("CONTRIBUTING.md", "sh"): "they install the project, run these tests, and fetch a Debian",
    ("CONTRIBUTING.md", "python"): "the beginning of a test, as an illustration",
    ("docs/behaviour/README.md", "python"): "the mark of a test; test_contract.py reads such",
    ("docs/events.md", ""): "an exchange with its line ends in writing, as an illustration",
    (
        "docs/policies.md",
        "python",
    ): "calls from the middle of a program; test_embedding.py has whole ones",
    ("docs/reliability.md", "sh"): "it takes half an hour; .ci/run runs two minutes of it",
    ("docs/python-api.md", "python"): "signatures, made by test_reference.py",
    ("docs/tsupervisorctl-recipes.md", "dockerfile"): "an image needs Docker",
}


def found() -> Counter[tuple[str, str]]:
    """How many blocks of which language a page has."""
    counted: Counter[tuple[str, str]] = Counter()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        languages = re.findall(r"^ *```(.*)\n(?:.*\n)*?^ *```$", text, re.MULTILINE)
        counted.update((str(page.relative_to(ROOT)), language) for language in languages)
    return counted


def test_every_block_is_run_or_has_a_reason() -> None:
    assert not RUN.keys() & NOT_RUN.keys()
    assert set(found()) <= RUN.keys() | NOT_RUN.keys()
    assert {key: number for key, number in found().items() if key in SELECTED} == SELECTED


@pytest.mark.parametrize(("place", "test"), RUN.items(), ids=map(" ".join, RUN))
def test_the_test_exists(place: tuple[str, str], test: str) -> None:
    module, _, function = test.partition(":")
    assert callable(getattr(importlib.import_module(f"tests.{module}"), function))
    source = ROOT.joinpath("tests", *module.split(".")).with_suffix(".py").read_text()
    assert any(name in source for name in (place[0].rpartition("/")[2], "README", "PAGE"))

"""INI to TOML: what is loaded from the result is what was loaded before."""

from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.config import test_evaluate, test_lint
from tests.kit.config import BASE, HERE, eval_context, load
from tests.kit.config_texts import daemon_fragments, fragments
from trio_supervisor.cli.convert import meaning, toml_text
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.convert import NotConvertible, translate
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.model import Config
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError

ENVIRON = {"HOME": "/home/me", "A": "os", "FOO": "a%b", "USER": "${x}"}


def both(fragment: str, base: str = BASE) -> tuple[Config, Config, list[str]]:
    """The configuration of an INI text, that of its conversion, and what was lost."""
    original = load(fragment, ENVIRON, base)
    document = Document()
    read(base + fragment, file="c.conf", here=HERE, into=document)
    text, lost = toml_text(document, HERE, extended=False)
    again = Document()
    read_toml(text, file="c.toml", here=HERE, into=again)
    converted = build(again, eval_context(ENVIRON), overrides={}, here=HERE)
    return original, converted, lost


def check_the_same(fragment: str) -> None:
    """Assert that the conversion of a text that loads means the same, and has lost nothing."""
    try:
        original, converted, lost = both(fragment)
    except ConfigError:
        with pytest.raises(ConfigError):
            load(fragment, ENVIRON)
        return
    assert lost == []
    assert meaning(converted) == meaning(original)


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@given(fragment=fragments())
def test_generated_files_mean_the_same(fragment: str) -> None:
    check_the_same(fragment)


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@given(daemon=daemon_fragments(), fragment=fragments())
def test_generated_daemons_and_servers_mean_the_same(daemon: str, fragment: str) -> None:
    check_the_same(daemon + fragment)


#: What is something special to the dialect: expansions, escapes, quotes, separators.
EXPANSIONS = ("%(ENV_A)s", "%(ENV_FOO)s", "%(ENV_USER)s", "%(here)s", "%(program_name)s")
PIECES = st.sampled_from(
    [*EXPANSIONS, "%%", "$", "$$", "${x}", "a", "B_1", "\u00e9", *"/.-+:()'\",= @"]
)
ENVIRONMENTS = st.lists(PIECES, max_size=8).map("".join)


@given(
    values=st.lists(
        st.tuples(
            st.sampled_from(["command", "environment", "directory", "stdout_logfile"]),
            ENVIRONMENTS,
        ),
        max_size=4,
    ),
    quoted=st.lists(
        st.tuples(st.sampled_from("KLMN"), st.sampled_from(["", "'", '"']), ENVIRONMENTS),
        max_size=3,
    ),
    default=st.booleans(),
)
def test_values_of_any_make_mean_the_same(
    values: list[tuple[str, str]], quoted: list[tuple[str, str, str]], default: bool
) -> None:
    lines = ["command=/bin/cat", *(f"{key}=x{value}" for key, value in values)]
    if quoted:
        lines.append("environment=" + ",".join(f"{k}={q}{v}{q}" for k, q, v in quoted))
    text = "\n".join([*lines, ""])
    fragment = f"[DEFAULT]\n{text}[program:x]\n" if default else f"[program:x]\n{text}"
    try:
        original, converted, lost = both(fragment)
    except ConfigError:
        return  # what is wrong has no meaning to keep
    assert lost or meaning(converted) == meaning(original)


def sections_of_tests() -> list[str]:
    """Everything in these tests that looks like sections."""
    sources = inspect.getsource(test_evaluate) + inspect.getsource(test_lint)
    texts = re.findall(r'"(\[[a-z_-]+:?[^"\\]*(?:\\.[^"\\]*)*)"', sources)
    return [text.encode().decode("unicode_escape") for text in texts]


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@pytest.mark.parametrize("fragment", sections_of_tests())
def test_sections_of_other_tests_mean_the_same(fragment: str) -> None:
    try:
        original = load(fragment, ENVIRON)
    except ConfigError:
        return  # what is wrong has no meaning to keep
    _, converted, lost = both(fragment)
    for line in lost:
        assert "ignored by the INI form too" in line
    assert meaning(converted) == meaning(original)


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("plain", "plain"),
        ("100%% $x", "100% $$x"),
        ("%(here)s/%(program_name)s", "${here}/${program_name}"),
        ("%(process_num)02d", "${process_num:02d}"),
        ("%(process_num)d %(process_num)x", "${process_num} ${process_num:x}"),
        ("%(process_num)5s|%(process_num)-5s", "${process_num:>5}|${process_num:<5}"),
        ("%(process_num)+d", "${process_num:+d}"),
        ("%(ENV_HOME)s", "${ENV_HOME}"),
    ],
)
def test_translations(text: str, translated: str) -> None:
    assert translate(text) == translated


@pytest.mark.behaviour("configuration.md#values-that-supervisor-expands-twice")
def test_values_expanded_twice_are_translated_twice() -> None:
    assert translate("a%%%%b %%(here)s", twice=True) == "a%b ${here}"
    assert translate("a%%b", twice=True) == "a%b"


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@pytest.mark.parametrize("text", ["%Y", "100%", "%(a)r", "%(a).3s", "%(a)"])
def test_what_has_no_counterpart_is_said(text: str) -> None:
    with pytest.raises(NotConvertible):
        translate(text)


def test_a_key_of_a_plugin_that_has_no_counterpart_is_said_too() -> None:
    """Found by fuzzing: whatever stands there, the rest is converted."""
    document = Document()
    text = "[ctlplugin:x]\nsupervisor.ctl_factory=m:f\nformat=%Y\n[supervisord]\n"
    read(text, file="c.conf", here=HERE, into=document)
    text, lost = toml_text(document, HERE, extended=False)
    assert lost == ["[ctlplugin:x] format: '%Y' is no expansion that TOML knows"]
    assert "[ctlplugin.x]" in text


@pytest.mark.behaviour("configuration.md#values-inherited-from-default")
@pytest.mark.parametrize("factory", ["m:f", "supervisor.rpcinterface:make_main_rpcinterface"])
def test_an_inherited_factory_is_brought_along(factory: str) -> None:
    """Found by fuzzing."""
    text = f"[DEFAULT]\nsupervisor.rpcinterface_factory={factory}\na=%%\n[rpcinterface:x]\nb=1\n"
    original, converted, lost = both(text)
    assert meaning(converted) == meaning(original)
    assert lost == []


def test_a_comment_of_the_result_is_one_whatever_it_quotes() -> None:
    """Found by fuzzing."""
    _, converted, lost = both("[odd\x01\x00\x7f:x]\na=1\n")
    assert len(lost) == 1
    assert converted.groups == ()


def test_native_types() -> None:
    document = Document()
    read(
        BASE + "[program:x]\ncommand=/bin/cat 'a b'\nautostart=false\npriority=5\nexitcodes=0,2\n"
        'environment=A="1",B="%(here)s"\nautorestart=unexpected\nstopsignal=TERM\ncomand=1\n',
        file="c.conf",
        here=HERE,
        into=document,
    )
    text, lost = toml_text(document, HERE, extended=False)
    assert lost == ["[program:x] comand is ignored by the INI form too"]
    assert text.startswith("# not converted: [program:x] comand is ignored by the INI form too\n")
    for line in (
        "[program.x]",
        "command = \"/bin/cat 'a b'\"",
        "autostart = false",
        "priority = 5",
        "exitcodes = [\n    0,\n    2,\n]",
        "[program.x.environment]",
        'B = "${here}"',
    ):
        assert line in text

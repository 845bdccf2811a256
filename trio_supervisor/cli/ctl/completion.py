"""Shell completion: the scripts that ``--completion`` prints, and the candidates they ask for.

A script calls ``tsupervisorctl --complete WORD...`` with the words typed so far, the unfinished one
last. It reads a candidate from each line; FILES stands for names of files.
"""

from __future__ import annotations

import sys

from trio_supervisor.cli.ctl.commands import (
    COMMAND_NAMES,
    COMMANDS,
    GROUPS,
    PROCESSES,
    completes,
    option_names,
)
from trio_supervisor.cli.ctl.options import FLAGS, OptionError, parse_flags, read_options
from trio_supervisor.cli.ctl.session import Session
from trio_supervisor.cli.ctl.shell import process_names

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping
#: Stands for names of files; no process, command or option has this name.
FILES = ":files"
#: Timeout of calls in seconds: TAB should not block the shell for longer.
PATIENCE = 1.0
#: Flags whose values are files.
FILE_FLAGS = frozenset({"configuration", "history_file"})

BASH = r"""# Completion of tsupervisorctl for bash. Put into ~/.bashrc:
#   source <(tsupervisorctl --completion bash)
_tsupervisorctl() {
    local line=${COMP_LINE:0:COMP_POINT} kept="" candidate
    local -a words
    read -ra words <<<"$line"
    if [[ $line == *[[:space:]] ]]; then words+=(""); fi
    # For bash a colon ends a word: what stands before the last one is not to be given again.
    if [[ ${words[-1]} == *:* && $COMP_WORDBREAKS == *:* ]]; then kept=${words[-1]%:*}:; fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        if [[ $candidate == :files ]]; then
            compopt -o default
        else
            printf -v candidate %q "${candidate#"$kept"}"
            COMPREPLY+=("$candidate")
        fi
    done < <("$1" --complete "${words[@]:1}" 2>/dev/null)
}
complete -F _tsupervisorctl tsupervisorctl
"""
ZSH = r"""#compdef tsupervisorctl
# Completion of tsupervisorctl for zsh. Put into ~/.zshrc, after compinit:
#   source <(tsupervisorctl --completion zsh)
_tsupervisorctl() {
    local -a candidates
    candidates=("${(@f)$("${words[1]}" --complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${candidates[1]} == :files ]]; then
        _files
    elif [[ -n ${candidates[1]} ]]; then
        compadd -- "${candidates[@]}"
    else
        return 1
    fi
}
compdef _tsupervisorctl tsupervisorctl
"""
FISH = r"""# Completion of tsupervisorctl for fish. Put into ~/.config/fish/config.fish:
#   tsupervisorctl --completion fish | source
function __tsupervisorctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l candidates ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
    if test "$candidates[1]" = :files
        __fish_complete_path $current
    else if test -n "$candidates[1]"
        printf '%s\n' $candidates
    end
end
complete -c tsupervisorctl -f -a '(__tsupervisorctl_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str) -> str:
    """Return the completion script of a shell. Raises OptionError."""
    if shell not in SCRIPTS:
        raise OptionError(f"no completion for the shell '{shell}'; there is {', '.join(SCRIPTS)}")
    return SCRIPTS[shell]


def candidates(program: str, words: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return the sorted completions of the last word; errors give none."""
    current, before = (words or [""])[-1], words[:-1]
    try:
        _, line = parse_flags(before)
    except OptionError:  # the value of the last flag is missing: it is being typed
        values = _values(before[-1] if before else "")
        return [word for word in values if word.startswith(current) or word == FILES]
    if line:
        flags = before[: len(before) - len(line)]
        found = _after(line[0], current, [program, *flags], environ)
    elif current.startswith("-"):
        found = [f"--{flag.long}" for flag in FLAGS]
    else:
        found = [*COMMANDS, "help"]
    return sorted(word for word in found if word.startswith(current))


def _values(spelling: str) -> list[str]:
    flag = next((f for f in FLAGS if spelling in (f"-{f.short}", f"--{f.long}")), None)
    if flag is None:
        return []
    if flag.long in FILE_FLAGS:
        return [FILES]
    return [*SCRIPTS] if flag.long == "completion" else []


def _after(action: str, current: str, argv: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return what may follow a command; ``argv`` has the program and the flags before it."""
    if current.startswith("-"):
        return option_names(action)
    kind = completes(action)
    if kind == COMMAND_NAMES:
        return [*COMMANDS, "help"]
    if kind not in (PROCESSES, GROUPS):
        return []
    try:
        options = read_options(argv, environ)
        options.timeout = min(options.timeout or PATIENCE, PATIENCE)
        session = Session(options, sys.stdout)
        try:
            rows = session.call("getAllProcessInfo")
        finally:
            session.disconnect()
    except Exception:  # a message would be written into the line being typed
        return []
    if kind == GROUPS:
        return list({row["group"] for row in rows})
    return process_names(rows, current)

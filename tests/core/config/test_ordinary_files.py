"""Configurations as people write them: remarks where something is wrong, and none elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit.config import HERE, eval_context
from trio_supervisor.cli.convert import meaning, toml_text
from trio_supervisor.core.config.build import examine
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.shell_syntax import open_quote
from trio_supervisor.core.config.toml import read_toml

ENVIRON = {
    "HOME": "/root",
    "PATH": "/usr/bin:/bin",
    "PORT": "8000",
    "DB": "postgres://u:p@h/db?x=1&y=2",
    "TEXT": "a b,c'd",
    "COLOUR": "a#b",
    "EMPTY": "",
    "JAVA_OPTS": "-Xmx1g",
}
AROUND = replace(
    eval_context(ENVIRON), is_dir=lambda path: path.startswith(("/tmp", "/dev", "/proc", HERE))
)


def found(text: str) -> list[str]:
    """What is said of a file: its errors with their hints, then its remarks."""
    document = Document()
    read(f"[supervisord]\nuser=root\n{text}", file="c.conf", here=HERE, into=document)
    examined = examine(document, AROUND, overrides={}, here=HERE)
    return [*map(str, examined.errors), *map(str, examined.remarks)]


def program(lines: str) -> str:
    return f"[program:x]\n{lines}\n"


def with_environment(value: str) -> str:
    return program(f"command=/usr/bin/app\nenvironment={value}")


#: Values of ``environment=``.
RIGHT_ENVIRONMENTS = [
    '\n    DJANGO_SETTINGS_MODULE="site.settings",\n    PYTHONUNBUFFERED="1",\n    user="x"',
    'LANG="en_US.UTF-8",\n            LC_ALL="en_US.UTF-8",\n            LC_TIME="C"',
    "\n  A=1,\n  B=2,",
    '\n  autostart="1",\n  priority="2"',
    "U=%(ENV_PORT)s",
    'U=%(ENV_PORT)s,V=%(ENV_HOME)s/x,W="%(ENV_DB)s"',
    'A="1",P=%(ENV_PATH)s',
    'PATH="/opt/venv/bin:%(ENV_PATH)s",HOME="/home/me"',
    'SECRET_KEY="x$Ab9!$QZ(k)",B="p$$w"',
    "URL=http://example.com:8080/path",
    'CONF=\'{"a": 1, "b": [2]}\',X="y"',
    'PW="a%%b"',
    'A="%(ENV_EMPTY)s",B="1"',
    'S="%(ENV_TEXT)s"',
    ' A = "1" , B = "2"',
    'RE="a\\d+"',
    'N="%(process_num)02d",P="%(program_name)s"',
    "KAFKA_OPTS=\"-Xmx1G -Xms1G\",J='-Dx=y'",
]

#: Command lines.
RIGHT_COMMANDS = [
    '/bin/bash -c "cd /srv/app && exec ./run --port $PORT"',
    'bash -c "\n    source /venv/bin/activate &&\n    FOO=bar\n    [ -f x ] && exec python app.py"',
    '/bin/sh -c "sleep 3; exec /usr/bin/app"',
    "/bin/bash -lc 'exec \"$APP\" --x=${Y} | tee /tmp/x > /dev/null'",
    "/usr/bin/env NODE_ENV=production node app.js",
    "/usr/bin/env\n    NODE_ENV=production\n    PORT=3000\n    node app.js",
    '/usr/sbin/nginx -g "daemon off;"',
    "/usr/sbin/nginx -g 'daemon off; master_process on;'",
    "/usr/sbin/php-fpm7.4 -F -R --fpm-config /etc/php/7.4/fpm/php-fpm.conf",
    "/venv/bin/celery -A proj worker -Q a,b -n w@%%h --autoscale=10,3",
    "/usr/bin/app ; don't touch",
    '/usr/bin/app --greeting "it\'s me" ; comment',
    "awk '{print $1, $NF}' /tmp/x",
    'awk "{print $NF}" /tmp/x',
    "find /tmp -name *.log -exec rm {} \\;",
    "/usr/bin/curl http://x/?a=1&b=2",
    "/usr/bin/rg a|b /tmp",
    "uvicorn app:app --forwarded-allow-ips=* --port %(ENV_PORT)s",
    'su - deploy -c "cd /srv && RAILS_ENV=$ENV bundle exec puma"',
    'ssh -N -L 5432:localhost:5432 host "a && b > $HOME/x"',
    "docker run --rm --name x -v /a:/b -e A=b -p 80:80 image:tag",
    "/usr/bin/prometheus\n  --config.file=/etc/p.yml\n  # --foo\n  ; --bar\n  --web.listen=:9090",
    "python -c \"import time; print('x' * 3); time.sleep(1)\"",
    "python -c 'import os; os.environ[\"A\"]'",
    'perl -e "print $X"',
    "/wait-for-it.sh db:5432 -- python app.py",
    "/usr/bin/Xvfb :99 -screen 0 1024x768x24 -ac +extension GLX",
    'redis-server --save "" --appendonly no',
    "psql -c \"select '$x', a || b from t where a > 3\"",
    "minio server /data{1...4} --console-address :9001",
    "jupyter lab --ip=0.0.0.0 --NotebookApp.token='' --allow-root",
    "consul-template -template \"/a:/b:sh -c 'nginx -s reload || true'\"",
    '/usr/bin/loop --every 5s --cron "*/5 * * * *"',
    "pip install x>=2",
    "/usr/bin/app --name <name> --price 5$ --cash $5",
    "./run.sh",
]
RIGHT_FILES = [
    *map(with_environment, RIGHT_ENVIRONMENTS),
    *(program(f"command={command}") for command in RIGHT_COMMANDS),
    program('command: /usr/bin/app\nenvironment: A="1"'),
    program("command=./run.sh\ndirectory=/tmp"),
    program(
        "command=/usr/bin/app\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
        "stderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0"
    ),
    "[program:x]\ncommand=a\nstdout_logfile=/proc/1/fd/1\nstderr_logfile=/proc/1/fd/1\n"
    "[program:y]\ncommand=a\nstdout_logfile=/proc/1/fd/1\n",
    "[program:x]\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=8\nstopwaitsecs=3600\n"
    "command=php /srv/artisan queue:work sqs --sleep=3 --tries=3\nredirect_stderr=true\n"
    "stdout_logfile=/tmp/worker_%(process_num)d.log\nstopasgroup=true\nkillasgroup=true\n",
    "[program:x]\ncommand=a --port=90%(process_num)02d\nnumprocs=2\nnumprocs_start=1\n"
    "process_name=%(program_name)s-%(process_num)s\n",
    "[program:x]\ncommand=/usr/bin/a              ; the program (relative uses PATH)\n"
    "autostart=true                  ; start at supervisord start (default: true)\n"
    "user=root                       # run as root\n",
    "[eventlistener:l]\ncommand=/usr/bin/l\nevents=PROCESS_STATE_EXITED,\n  PROCESS_STATE_FATAL\n",
    "[fcgi-program:f]\nsocket=unix:///tmp/%(program_name)s.sock\nsocket_owner=root\ncommand=f\n",
    "[group:g]\nprograms=x,\n    y\n[program:x]\ncommand=a\n[program:y]\ncommand=b\n",
    "[inet_http_server]\nport=127.0.0.1:9001\nusername=u\npassword=pa$WORD${X}\n",
    "[unix_http_server]\nfile=/tmp/s.sock   ; the path to the socket file\n"
    ";chown=nobody:nogroup       ; socket file uid:gid owner\n"
    "[supervisorctl]\nserverurl=unix:///tmp/s.sock ; use a unix:// URL\n",
]


@pytest.mark.behaviour("configuration.md#remarks")
@pytest.mark.parametrize("text", RIGHT_FILES)
def test_nothing_is_said_of_what_is_right(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("text", RIGHT_FILES)
def test_what_is_right_means_the_same_as_toml(text: str) -> None:
    original = Document()
    read(f"[supervisord]\nuser=root\n{text}", file="c.conf", here=HERE, into=original)
    converted = Document()
    toml, lost = toml_text(original, HERE, extended=False)
    read_toml(toml, file="c.toml", here=HERE, into=converted)
    one, other = (
        examine(document, AROUND, overrides={}, here=HERE) for document in (original, converted)
    )
    assert (lost, one.errors, other.errors, other.remarks) == ([], [], [], [])
    assert meaning(one.partial) == meaning(other.partial)


#: Lines of a program, and what is said of them in order, with … for what lies between.
WRONG: list[tuple[str, list[str]]] = [
    (
        "command=cd /srv/app && ./run",
        ["cd is a command of shells, there is no shell here (set directory=, or run a"],
    ),
    ("command=a && b", ["&& is passed to the program unchanged, there is no shell here"]),
    ("command=make&&make install", ["&& is passed to the program"]),
    ("command=a || b", ["|| is passed to the program"]),
    ("command=a | logger", ["| is passed to the program"]),
    ("command=a; b", ["; is passed to the program"]),
    ("command=a >> /var/log/a 2>&1", [">> is passed to the program"]),
    ("command=a >/dev/null", ["> is passed to the program"]),
    ("command=a 2>/dev/null", ["> is passed to the program"]),
    ('command=bash -c "a; b" &> /tmp/x', ["> is passed to the program"]),
    ("command=mysql < /tmp/dump", ["< is passed to the program"]),
    ("command=a &", ["& is passed to the program unchanged, there is no shell here (leave it out"]),
    ("command=java $JAVA_OPTS -jar a", ["$JAVA_OPTS is passed to…write %(ENV_JAVA_OPTS)s, or"]),
    ("command=java ${JAVA_OPTS} -jar a", ["${JAVA_OPTS} is passed to the program"]),
    ('command=java "$JAVA_OPTS" -jar a', ["$JAVA_OPTS is passed to the program"]),
    ("command=$JAVA_HOME/bin/java a", ["$JAVA_HOME is no directory here…write %(ENV_JAVA_HOME)s"]),
    ("command=gunicorn --workers=$(nproc) a", ["$(nproc) is passed to the program"]),
    ("command=~/bin/run", ["~ is no directory here"]),
    ("command=run --conf ~/x.yml", ["~ is passed to the program unchanged…write the whole path"]),
    (
        "command=NODE_ENV=production node a",
        ["NODE_ENV=... is taken as the program…environment="],
    ),
    ("command=exec /usr/bin/a", ["exec is a command of shells…leave it out"]),
    ("command=source /v/activate && a", ["source is a command of shells…environment="]),
    ("command=ulimit -n 65535 && a", ["ulimit is a command of shells"]),
    ('command=sh -c "sleep 3 ; a"', ["a comment ends this line inside quotes"]),
    ('command=bash -c "\n   echo a ; echo b\n   "', ["line 5…a comment ends this line inside"]),
    ("command=bash -c 'case x in\n  a) foo\n  ;;\n  esac'", ["line 6…a comment ends this line"]),
    ("command=a\n  autostart=true", ["'autostart=true' is part of the value of 'command'"]),
    ("command=a\n [program:y]", ["'[program:y]' is part of the value of 'command'"]),
    (
        'command=a\nenvironment=A="1"\n  autorestart=true',
        ["unexpected end of key/value pairs after 'A'", "this line is part of the value of"],
    ),
    (
        'command=a\nenvironment=PATH="/opt:$PATH"',
        ["$PATH is not expanded here (write %(ENV_PATH)s"],
    ),
    ('command=a\nenvironment=D="/x",E="${D}/y"', ["${D} is not expanded here (write %(ENV_D)s)"]),
    ('command=a\nenvironment=A="1";B="2"', ["';' separates variables (write a comma"]),
    ("command=a\nenvironment=S=%(ENV_COLOUR)s,B=2", ["the text after # is not part of the value"]),
    ('command=a\nenvironment=A="1', ["no closing quotation…close the quote"]),
    (
        "command=a\nstdout_logfile=/tmp/${APP}.log",
        ["${APP} is not expanded here (write %(ENV_APP)s"],
    ),
    ("command=a\ndirectory=$HOME", ["$HOME is not expanded here", "no directory $HOME"]),
    ('command=a\nuser="root"', ["Invalid user name…leave the quotes out"]),
    ('command=a\nstdout_logfile="/tmp/a.log"', ["does not exist…leave the quotes out"]),
    ('command=a\nnumprocs="2"', ["invalid number…leave the quotes out"]),
    ('command=a\nautorestart="true"', ["autorestart…leave the quotes out"]),
    ("command=sh -c 'date +%Y'", ["badly formatted…write %% for a literal %"]),
    ("command=%(here)/run", ["badly formatted…write %(here)s"]),
    ("command=a %(PORT)s", ["unknown name 'PORT'…did you mean ENV_PORT?"]),
    ("command=a %(ENV_PORT)", ["badly formatted…write %(ENV_PORT)s"]),
    (
        "command=a\nstdout_logfile=/tmp/a\nstderr_logfile=/tmp/a",
        ["stdout and stderr of x write and rotate the same file /tmp/a (use redirect_stderr=true"],
    ),
]


@pytest.mark.behaviour("configuration.md#remarks")
@pytest.mark.parametrize(("lines", "texts"), WRONG, ids=[lines for lines, _ in WRONG])
def test_what_is_wrong_is_said_once_with_what_to_do(lines: str, texts: list[str]) -> None:
    said = found(program(lines))
    assert len(said) == len(texts), said
    for line, text in zip(said, texts, strict=True):
        assert all(part in line for part in text.split("…")), said


@pytest.mark.behaviour("configuration.md#errors-show-no-secrets")
def test_no_part_of_a_password_is_taken_for_a_variable_and_shown() -> None:
    said = found(with_environment('KEY="a${HIDDEN}b",PATH="$PATH"'))
    assert len(said) == 1
    assert "HIDDEN" not in said[0]


@pytest.mark.parametrize(
    ("text", "within", "quote"),
    [
        ("a", "", ""),
        ("it's", "", "'"),
        ('"it\'s"', "", ""),
        ('a "b', "", '"'),
        ('a "b\\"', "", '"'),
        ("a\\'b", "", ""),
        ("b' c", "'", ""),
        ("b\" c'", '"', "'"),
        ("b", '"', '"'),
        ("trailing\\", "", ""),
    ],
)
def test_quotes_that_are_left_open(text: str, within: str, quote: str) -> None:
    assert open_quote(text, within) == quote


def test_a_long_value_with_many_comments_is_read_in_time_that_grows_with_its_length() -> None:
    (remark,) = found(program("command=a '" + "\n  b\n  ; c" * 30_000 + "\n '"))
    assert "line 6" in remark

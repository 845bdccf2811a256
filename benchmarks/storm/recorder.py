"""An event listener of the storm that appends each event to a file, one JSON object a line."""

import json
import os
import sys


def main(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = sys.stdin.readline()
        if not header:
            return
        tokens = dict(token.split(":", 1) for token in header.split())
        payload = sys.stdin.read(int(tokens["len"]))
        os.write(file, json.dumps({"header": tokens, "payload": payload}).encode() + b"\n")
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])

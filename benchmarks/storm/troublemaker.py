"""An event listener of the storm that breaks the protocol in every way."""

import random
import sys
import time


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    chance = random.Random()
    while True:
        write("READY\n")
        header = sys.stdin.readline()
        if not header:
            return
        tokens = dict(token.split(":", 1) for token in header.split())
        sys.stdin.read(int(tokens["len"]))
        match chance.randrange(12):
            case 0:
                sys.exit(chance.randrange(3))
            case 1:
                write("RESULT 4\nFA")
                time.sleep(0.2)
                write("IL")
            case 2:
                write("RESULT 4\nFAIL")
            case 3:
                write("nonsense\n")
            case 4:
                write("RESULT 99999999999999999999\n")
            case 5:
                time.sleep(1)
                write("RESULT 2\nOK")
            case 6:
                write("RESULT -1\n")
            case _:
                write("RESULT 2\nOK")


if __name__ == "__main__":
    main()

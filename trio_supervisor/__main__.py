"""``tsupervisord``, also as ``python -m trio_supervisor``."""

import gc

from trio_supervisor.cli.postponed import import_dependencies


def main() -> None:
    """Run ``tsupervisord`` and exit with its code."""
    gc.disable()
    import_dependencies()  # before any other module does
    from trio_supervisor.cli.daemon import main

    gc.freeze()  # modules live as long as the program: no search for garbage is to look at them
    gc.enable()
    main()


if __name__ == "__main__":
    main()

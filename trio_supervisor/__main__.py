"""``tsupervisord``, also as ``python -m trio_supervisor``."""

import gc

from trio_supervisor.cli.postponed import import_dependencies

#: New objects after which garbage is looked for while modules are imported. The usual 700 take a
#: twentieth of the time of all imports. Without any search almost a megabyte would be kept forever:
#: each class with slots of attrs and dataclasses is made twice.
SEARCH_AFTER = 5000


def main() -> None:
    """Run ``tsupervisord`` and exit with its code."""
    usual = gc.get_threshold()
    gc.set_threshold(SEARCH_AFTER)
    import_dependencies()  # before any other module does
    from trio_supervisor.cli.daemon import main

    gc.collect(0)
    gc.freeze()  # modules live as long as the program: no search for garbage is to look at them
    gc.set_threshold(*usual)
    main()


if __name__ == "__main__":
    main()

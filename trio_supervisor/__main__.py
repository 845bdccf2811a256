"""``tsupervisord``, also as ``python -m trio_supervisor``."""

import gc

from trio_supervisor.cli.postponed import import_dependencies

#: New objects after which garbage is looked for among them while modules are imported: the usual
#: search takes a twentieth of the time of all imports. Without any almost a megabyte would be kept
#: forever, and with one after 5000 a third of that, because attrs and dataclasses make each class
#: with slots twice. With 1500 it depended on the order of the imports: half a megabyte or nothing.
SEARCH_AFTER = 1000
#: Such searches after which older objects would be looked at too.
NEVER = 1000


def main() -> None:
    """Run ``tsupervisord`` and exit with its code."""
    usual = gc.get_threshold()
    gc.set_threshold(SEARCH_AFTER, NEVER)
    import_dependencies()  # before any other module does
    from trio_supervisor.cli.daemon import main

    gc.collect(0)
    gc.freeze()  # modules live as long as the program: no search for garbage is to look at them
    gc.set_threshold(*usual)
    main()


if __name__ == "__main__":
    main()

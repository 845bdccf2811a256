"""``tsupervisord``, also as ``python -m trio_supervisor``."""

from trio_supervisor.cli.postponed import import_dependencies


def main() -> None:
    """Run ``tsupervisord`` and exit with its code."""
    import_dependencies()  # before any other module does
    from trio_supervisor.cli.daemon import main

    main()


if __name__ == "__main__":
    main()

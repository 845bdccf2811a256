"""``python -m trio_supervisor`` is ``tsupervisord``."""

from trio_supervisor.cli.daemon import main

if __name__ == "__main__":
    main()

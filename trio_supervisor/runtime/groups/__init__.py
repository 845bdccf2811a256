"""The groups that run: how they come and go, requests for several processes, the end of all."""

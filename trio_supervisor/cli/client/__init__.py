"""The HTTP and XML-RPC client that ``tsupervisorctl`` uses; starts fast."""

"""HTTP server of a supervisor: connections, XML-RPC, JSON API, log streams, pages."""

"""HTTP faces of a supervisor: h11 connection, XML-RPC door, JSON API, log streams, pages."""

"""HTTP faces of a supervisor: h11 connection, XML-RPC door, log streams, pages."""

"""The commands. The client side imports neither trio nor h11 nor xmlrpc.client."""

"""The JSON API: tables of routes, and what they read and answer."""

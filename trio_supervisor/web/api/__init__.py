"""The JSON API: tables of routes, their input and their answers."""

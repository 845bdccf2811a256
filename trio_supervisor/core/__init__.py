"""Pure rules: values in, values out; bytes in, events out. No trio, fds, clock, environment."""

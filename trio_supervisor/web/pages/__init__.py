"""The pages for browsers: status page, log page, and their live data."""

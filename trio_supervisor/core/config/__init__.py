"""Configuration: from the text of a file to frozen values. Reads no file itself."""

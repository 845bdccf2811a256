"""The state that one daemon hands to the next: its values, their form in JSON, its versions."""

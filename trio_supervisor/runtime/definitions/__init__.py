"""Programs and tasks described by Python values."""

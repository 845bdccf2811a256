"""What can be called from outside, by name: tables of methods. Knows nothing of XML or HTTP."""

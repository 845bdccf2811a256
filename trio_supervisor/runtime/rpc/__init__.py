"""Tables of the methods that clients can call by name, independent of XML and HTTP."""

"""The HTTP edge that every service shares: one app shape, one way to say no, one kind of cursor."""

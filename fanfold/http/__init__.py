"""The HTTP edge that every service shares: one form of application, one form of refusal, one kind of cursor."""

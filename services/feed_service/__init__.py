"""The read side: merges what was pushed with what is pulled into one feed, and serves it."""

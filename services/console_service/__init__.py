"""The page: what people and operators look at. Optional: nothing else calls it."""

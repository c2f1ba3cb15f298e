"""`fanfold graph import`: imports a list of follows into a running system, through the log."""

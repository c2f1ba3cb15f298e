"""`fanfold graph import`: a follower edge list into a running system, through the log."""

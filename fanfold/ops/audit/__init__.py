"""`fanfold audit`: each feed computed from the tables by pull, compared with the feed that is served."""

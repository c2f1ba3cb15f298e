"""`fanfold explain`: why a post is, or is not, in a feed."""

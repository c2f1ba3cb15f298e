"""Why a post is, or is not, in a feed: for `fanfold explain`, `fanfold audit` and the console."""

"""`fanfold dead-letters`: records that the workers could not handle, and how to handle them later."""

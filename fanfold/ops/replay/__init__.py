"""`fanfold replay` and `fanfold compare`: tables built from the log beside those in use, and two of them compared."""

"""The operator's command line, `fanfold`: `command_line` puts it together, and each noun has a module or a folder."""

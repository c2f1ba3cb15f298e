"""`make bench`: what the real system does on this machine, measured beside bare programs that do only the unavoidable part."""

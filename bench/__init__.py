"""`make bench`: what the real system does on this machine, compared with bare programs that do only the unavoidable part."""

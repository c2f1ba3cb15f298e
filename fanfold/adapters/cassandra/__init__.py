"""The stores in Cassandra. Imported on demand: the embedded stack doesn't load the driver."""

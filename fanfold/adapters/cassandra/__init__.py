"""The stores in Cassandra. Loaded on demand: nothing embedded imports the driver."""

"""The real log: Kafka, by aiokafka. Loaded on demand only, so that `make run` never imports a driver."""

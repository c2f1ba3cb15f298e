"""The real log: Kafka, by aiokafka. Imported on demand, so that `make run` never loads a driver."""

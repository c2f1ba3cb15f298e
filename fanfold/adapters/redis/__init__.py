"""The shared cache in Redis or Valkey. The commands that are used work from Redis 6.2 on."""

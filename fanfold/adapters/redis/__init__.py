"""The shared cache in Redis or Valkey: what is used of the protocol works from Redis 6.2 on."""

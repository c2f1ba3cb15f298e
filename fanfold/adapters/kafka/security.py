"""How every Kafka client authenticates: plaintext, TLS, a client certificate, or a password over TLS."""

from __future__ import annotations

from typing import Any

from fanfold.adapters.tls import client_context
from fanfold.core.settings import Settings

SCRAM = "SCRAM-SHA-512"


def client_security(settings: Settings) -> dict[str, Any]:
    """The keyword arguments that every aiokafka client takes. Reads the files at each call; raises `Fault` if it can't."""
    if settings.kafka_ca is None:
        return {"security_protocol": "PLAINTEXT"}
    context = client_context(
        settings.kafka_ca, cert=settings.kafka_cert, key=settings.kafka_key, check_hostname=True
    )
    if settings.kafka_user is None or settings.kafka_password is None:
        return {"security_protocol": "SSL", "ssl_context": context}
    return {
        "security_protocol": "SASL_SSL",
        "ssl_context": context,
        "sasl_mechanism": SCRAM,
        "sasl_plain_username": settings.kafka_user,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }

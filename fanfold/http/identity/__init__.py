"""How a request names its acting user: by a header that is trusted, or by a token that is verified."""

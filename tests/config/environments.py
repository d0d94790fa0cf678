"""Valid environments, for tests to add to."""

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
BASE = {
    "TOKENSVC_PUBLIC_URL": "https://tokens.example",
    "TOKENSVC_DATABASE_URL": "sqlite:////var/lib/tokensvc/tokensvc.db",
}
ISSUER = """
[[issuers]]
name = "acme"
issuer = "https://id.acme.example"
audience = "chat"
jwks_uri = "https://id.acme.example/jwks.json"
"""

"""
Makes `provider_tokens.json`: a token of each preset's provider, with the keys to verify it.

The claims follow the providers' documentation, with fictitious people. Run it again only to change
a form: the keys are discarded, so all vectors change.

    python tests/vectors/make_provider_tokens.py
"""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testing.doubles.issuer import compact, private_key, public_jwk

NOW = 1_794_999_995
SIGNED_IN_AT = NOW - 4000
UUID = "9f3b2a51-6c1e-4d0f-8a77-0c5d1e2f3a4b"
CLERK_USER = "user_2bVftRtFezPdchfaz9LmNoPqRsT"
TENANT = "11111111-2222-3333-4444-555555555555"
COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"

FIREBASE = {
    "preset": "firebase:my-project",
    "audience": "my-project",
    "header": {"alg": "RS256", "kid": "3f9a005017dcc5b5a1f8b2d9c4e6", "typ": "JWT"},
    "claims": {
        "name": "Jane Roe",
        "iss": "https://securetoken.google.com/my-project",
        "aud": "my-project",
        "auth_time": SIGNED_IN_AT,
        "user_id": "Xk2LmNoPqRsTuVwXyZ0123456789",
        "sub": "Xk2LmNoPqRsTuVwXyZ0123456789",
        "iat": NOW - 60,
        "exp": NOW + 3540,
        "email": "jane@example.com",
        "email_verified": True,
        "firebase": {
            "identities": {"email": ["jane@example.com"]},
            "sign_in_provider": "password",
        },
    },
    "user_id": "_58k2_4cm_4eo_50q_52s_54u_56w_58y_5a0123456789",
    "signed_in_at": SIGNED_IN_AT,
}

VECTORS: dict[str, dict[str, Any]] = {
    "firebase": FIREBASE,
    "firebase-certificates": {**FIREBASE, "certificates": True},
    "auth0": {
        "preset": "auth0:my-tenant.eu",
        "audience": "https://chat.example.com/api",
        "header": {"alg": "RS256", "typ": "JWT", "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4"},
        "claims": {
            "iss": "https://my-tenant.eu.auth0.com/",
            "sub": "auth0|6553da60a54af58e29493993",
            "aud": [
                "https://chat.example.com/api",
                "https://my-tenant.eu.auth0.com/userinfo",
            ],
            "iat": NOW - 60,
            "exp": NOW - 60 + 86400,
            "scope": "openid profile email",
            "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        },
        "user_id": "auth0_7c6553da60a54af58e29493993",
        "signed_in_at": NOW - 60,
    },
    "auth0-rfc9068": {
        "preset": "auth0:my-tenant.eu",
        "audience": "https://chat.example.com/api",
        "header": {"alg": "RS256", "typ": "at+jwt", "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4"},
        "claims": {
            "iss": "https://my-tenant.eu.auth0.com/",
            "sub": "google-oauth2|108000000000000000000",
            "aud": "https://chat.example.com/api",
            "iat": NOW - 60,
            "exp": NOW + 7140,
            "scope": "openid profile",
            "jti": "73WakrfVbNJBaAmhQtEeDv",
            "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        },
        "user_id": "google-oauth2_7c108000000000000000000",
        "signed_in_at": NOW - 60,
    },
    "cognito": {
        "preset": "cognito:eu-west-1/eu-west-1_AbCdEfGhI",
        "audience": "1example23456789",
        "header": {"kid": "fSLbsq3vQkm5xKq2nX1Yc0cbhFh1F3vA9S8aLq0yq2E=", "alg": "RS256"},
        "claims": {
            "sub": UUID,
            "cognito:groups": ["members"],
            "iss": COGNITO,
            "version": 2,
            "client_id": "1example23456789",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "event_id": "bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee",
            "token_use": "access",
            "scope": "openid profile",
            "auth_time": SIGNED_IN_AT,
            "exp": NOW + 3540,
            "iat": NOW - 60,
            "jti": "cccccccc-bbbb-cccc-dddd-eeeeeeeeeeee",
            "username": "jane",
        },
        "user_id": UUID,
        "signed_in_at": SIGNED_IN_AT,
    },
    "keycloak": {
        "preset": "keycloak:id.example.com/acme",
        "audience": "chat",
        "header": {
            "alg": "RS256",
            "typ": "JWT",
            "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE",
        },
        "claims": {
            "exp": NOW + 240,
            "iat": NOW - 60,
            "auth_time": SIGNED_IN_AT,
            "jti": "onrtac:7d1c8f6a-0d6a-4b8e-9a3b-1f2e3d4c5b6a",
            "iss": "https://id.example.com/realms/acme",
            "aud": ["chat", "account"],
            "sub": UUID,
            "typ": "Bearer",
            "azp": "web",
            "sid": "2f1e3d4c-5b6a-4978-8695-a4b3c2d1e0f9",
            "acr": "0",
            "allowed-origins": ["https://app.example.com"],
            "realm_access": {"roles": ["default-roles-acme", "offline_access"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": "openid profile email",
            "email_verified": True,
            "preferred_username": "jane",
            "email": "jane@example.com",
        },
        "user_id": UUID,
        "signed_in_at": SIGNED_IN_AT,
    },
    "supabase": {
        "preset": "supabase:abcdefghijklmnopqrst",
        "audience": "authenticated",
        "header": {"alg": "ES256", "kid": "5b0a7d3e-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "typ": "JWT"},
        "claims": {
            "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
            "sub": UUID,
            "aud": "authenticated",
            "exp": NOW + 3540,
            "iat": NOW - 60,
            "email": "jane@example.com",
            "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]},
            "user_metadata": {"email_verified": True},
            "role": "authenticated",
            "aal": "aal2",
            "amr": [
                {"method": "password", "timestamp": SIGNED_IN_AT - 50},
                {"method": "totp", "timestamp": SIGNED_IN_AT},
            ],
            "session_id": "aa3f2a51-6c1e-4d0f-8a77-0c5d1e2f3a4b",
            "is_anonymous": False,
        },
        "user_id": UUID,
        "signed_in_at": SIGNED_IN_AT - 50,
    },
    "okta": {
        "preset": "okta:dev-1234.okta.com",
        "audience": "api://default",
        "header": {"kid": "ZkvelLN_seik7w4pc_prCcfUf-h2hFfiwkDeCrs0iUc", "alg": "RS256"},
        "claims": {
            "ver": 1,
            "jti": "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts",
            "iss": "https://dev-1234.okta.com/oauth2/default",
            "aud": "api://default",
            "iat": NOW - 60,
            "exp": NOW + 3540,
            "cid": "0oa2yrbf35Vcbom491t7",
            "uid": "00u2yulup4eWbOttd1t7",
            "scp": ["openid", "profile"],
            "auth_time": SIGNED_IN_AT,
            "sub": "jane@example.com",
        },
        "user_id": "00u2yulup4e_57b_4fttd1t7",
        "signed_in_at": SIGNED_IN_AT,
    },
    "entra": {
        "preset": f"entra:{TENANT}",
        "audience": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "header": {"typ": "JWT", "alg": "RS256", "kid": "CtfQC8Le-8NsC7oC2zQkZpcrfOc"},
        "claims": {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "iat": NOW - 60,
            "nbf": NOW - 60,
            "exp": NOW + 4500,
            "aio": "AXQAi/8IAAAAFm+E/QTG+gFnVxLjWdw8K",
            "azp": "1d9a1e2c-7f0b-4a3d-9c8e-5b6f7a8d9e0f",
            "azpacr": "0",
            "name": "Jane Roe",
            "oid": UUID,
            "preferred_username": "jane@example.com",
            "rh": "0.ARoAv4j5cvGGr0GRqy180BHbR1",
            "scp": "chat",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "tid": TENANT,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        "user_id": UUID,
        "signed_in_at": NOW - 60,
    },
    "clerk": {
        "preset": "clerk:clerk.example.com",
        "audience": "https://app.example.com",
        "header": {
            "alg": "RS256",
            "cat": "cl_B7d4PD111AAA",
            "kid": "ins_2Ff9Hq7mXyZ0aBcDeFgHiJkLmNo",
            "typ": "JWT",
        },
        "claims": {
            "azp": "https://app.example.com",
            "exp": NOW + 50,
            "fva": [66, -1],
            "iat": NOW - 10,
            "iss": "https://clerk.example.com",
            "jti": "5b0a7d3e1c2d4e5f8a9b",
            "nbf": NOW - 20,
            "sid": "sess_2bVftP1rQemOu4CPj9LmNoPqRsT",
            "sts": "active",
            "sub": CLERK_USER,
            "v": 2,
        },
        "user_id": "user_5f2b_56ft_52t_46ez_50dchfaz9_4cm_4eo_50q_52s_54",
        "signed_in_at": NOW - 10,
    },
}


def vector(number: int, shape: dict[str, Any]) -> dict[str, Any]:
    """Return a signed token, with the keys that its provider would publish."""
    header = shape["header"]
    key = private_key(header["alg"], number)
    token = compact(header, shape["claims"], key, header["alg"])
    if shape.get("certificates"):
        published = {header["kid"]: certificate(key)}
    else:
        published = {"keys": [public_jwk(key, kid=header["kid"], use="sig", alg=header["alg"])]}
    expected = {name: shape[name] for name in ("preset", "audience", "user_id", "signed_in_at")}
    return {**expected, "token": token, "published": published}


def certificate(key: Any) -> str:
    """Return a certificate as at Google's endpoint: self-signed, valid for some weeks."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "securetoken.system.gserviceaccount.com")]
    )
    issued = dt.datetime.fromtimestamp(NOW - 86400, dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued)
        .not_valid_after(issued + dt.timedelta(days=17))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode("ascii")


def main() -> None:
    """Write the file."""
    vectors = {name: vector(number, shape) for number, (name, shape) in enumerate(VECTORS.items())}
    path = Path(__file__).with_name("provider_tokens.json")
    path.write_text(json.dumps({"now": NOW, "vectors": vectors}, indent=2) + "\n")


if __name__ == "__main__":
    main()

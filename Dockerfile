# Two stages: the first builds; the second has neither pip nor sources.

FROM python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# A compiler for the second build of argon2 below. The last stage does not have it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# Only files whose hashes are in the lock files.
COPY requirements.lock requirements-otel.lock requirements-build.lock requirements-argon2.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock
# `--build-arg LOCK=requirements-otel.lock` adds OpenTelemetry for traces.
ARG LOCK=requirements.lock
RUN python -m venv --without-pip /opt/tokensvc \
    && /opt/build/bin/pip --python /opt/tokensvc/bin/python install --no-deps --require-hashes --only-binary :all: -r "$LOCK"
# A password hash needs half the time where the processor can run this build.
COPY deploy/compile-argon2 ./deploy/
RUN deploy/compile-argon2 /opt/tokensvc
COPY pyproject.toml README.md LICENSE hatch_build.py llms.txt openapi.yaml ./
COPY tokensvc ./tokensvc
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/dist . \
    && /opt/build/bin/pip --python /opt/tokensvc/bin/python install --no-deps --no-index /opt/dist/*.whl

FROM python:3.13-slim-bookworm@sha256:01f42367a0a94ad4bc17111776fd66e3500c1d87c15bbd6055b7371d39c124fb
RUN groupadd --system --gid 10001 tokensvc \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tokensvc \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/tokensvc
LABEL org.opencontainers.image.title="tokensvc" \
    org.opencontainers.image.description="The backend that a Stream Chat tokenProvider calls." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-bookworm"
# `--build-arg POSTGRESQL_CLIENT=postgresql-client-15` adds `pg_dump` for the job that makes backups.
ARG POSTGRESQL_CLIENT=
# hadolint ignore=DL3008
RUN [ -z "$POSTGRESQL_CLIENT" ] || { apt-get update \
    && apt-get install --yes --no-install-recommends "$POSTGRESQL_CLIENT" && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /opt/tokensvc /opt/tokensvc
# Not a secret: the rule matches the prefix TOKENSVC_.
# hadolint ignore=DL3064
ENV PATH="/opt/tokensvc/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    TOKENSVC_BIND=0.0.0.0:8000 \
    TOKENSVC_DATABASE_URL=sqlite:////var/lib/tokensvc/tokensvc.db
# A number lets Kubernetes verify that it is not root.
USER 10001:10001
VOLUME ["/var/lib/tokensvc"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ['TOKENSVC_BIND'].rpartition(':')[2]), timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tokensvc"]
CMD ["serve"]

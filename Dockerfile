# The service's image. Needs BuildKit; build it from the project's folder.
# The base image needs Python 3.11 or later as `python3`, with its venv module.
ARG BASE_IMAGE=public.ecr.aws/docker/library/python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS packages
COPY service/requirements.txt /build/requirements.txt
# Behind a proxy that re-signs TLS, pip needs the company's certificates; a secret leaves no trace in the image.
RUN --mount=type=secret,id=ca_bundle \
    if [ -f /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi \
    && python3 -m venv /build/venv \
    && /build/venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        --no-compile --target /build/packages --requirement /build/requirements.txt
COPY image/assemble.py /build/assemble.py
RUN python3 /build/assemble.py /build/packages /root-file-system

FROM ${BASE_IMAGE} AS service
COPY service /app/service
RUN python3 -m compileall -q /app

# Nothing of the base image but Python: no shell, no pip, no package manager.
FROM scratch
COPY --from=packages /root-file-system /
COPY --from=service /app /app
WORKDIR /app
# The root file system is read-only when the service runs: Python must not try to write there.
ENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8 SSL_CERT_DIR=/etc/ssl/certs \
    PYTHONPATH=/app:/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that ECS can see that it is not root; 65532 is the customary "nonroot".
USER 65532:65532
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python3", "-S", "/app/service/probe.py"]
# No shell in between: Python is the process that gets SIGTERM.
CMD ["python3", "-m", "service"]

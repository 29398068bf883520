# A model worker. EXTRAS chooses what it can run:
#   docker build -f deploy/docker/worker.Dockerfile -t twowire-worker .                                  CPU receptionist, servers
#   docker build -f deploy/docker/worker.Dockerfile --build-arg EXTRAS=gpu,receptionist -t twowire-worker-gpu .   models in the process
ARG PYTHON_IMAGE=python:3.13.9-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=receptionist
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wire wire
COPY gateway gateway
COPY model_worker model_worker
COPY twowire twowire
RUN python -m venv /opt/twowire && /opt/twowire/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin twowire
COPY --from=build /opt/twowire /opt/twowire
ENV PATH=/opt/twowire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TWOWIRE_METRICS_HOST=0.0.0.0 \
    TWOWIRE_METRICS_PORT=9464 \
    TWOWIRE_LOG_FORMAT=json
USER 10001:10001
EXPOSE 9464/tcp
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
# SIGTERM drains: give the container as long to stop as the longest call may take (TWOWIRE_DRAIN_LIMIT_S).
STOPSIGNAL SIGTERM
ENTRYPOINT ["twowire"]
CMD ["worker"]
